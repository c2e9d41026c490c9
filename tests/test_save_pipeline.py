"""A folder that a pipeline is saved to always holds a whole pipeline."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language

import spacy_ctxemb
from spacy_ctxemb import save_pipeline

from .cli.command import run, run_well
from .elmo_models import write_model
from .pipelines import initialised, vectors


def build(seed: int) -> Language:
    nlp = initialised(seed=seed)
    nlp.add_pipe("sentencizer", name=f"sentences{seed}")
    return nlp


@pytest.fixture(scope="module")
def nlps() -> list[Language]:
    return [build(0), build(1)]


def find(path: Path, nlps: list[Language]) -> int:
    """Which of some pipelines is in a folder: all of it."""
    stored = spacy.load(path)
    found = vectors(stored)
    for i, nlp in enumerate(nlps):
        if stored.pipe_names == nlp.pipe_names:
            for a, b in zip(found, vectors(nlp), strict=True):
                assert np.array_equal(a, b)
            assert {f.name for f in path.iterdir()} == {
                *("config.cfg", "meta.json", "tokenizer", "vocab"),
                *("ctxemb", f"sentences{i}.json"),
            }
            return i
    raise AssertionError(stored.pipe_names)


def test_a_pipeline_replaces_another(nlps: list[Language], tmp_path: Path) -> None:
    for i in (0, 1):
        spacy_ctxemb.to_disk(nlps[i], tmp_path / "folder" / "out")
        assert find(tmp_path / "folder" / "out", nlps) == i
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["out"]


def test_other_files_are_not_lost(nlps: list[Language], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"\[E165\] .* holds \['README.md'\], which are no"):
            spacy_ctxemb.to_disk(nlps[0], tmp_path)
        assert (tmp_path / "README.md").read_text() == "mine"
        nlps[1].to_disk(tmp_path)
    (tmp_path / "README.md").unlink()
    spacy_ctxemb.to_disk(nlps[0], str(tmp_path))
    assert find(tmp_path, nlps) == 0


def test_a_name_that_is_too_long(nlps: list[Language]) -> None:
    with pytest.raises(OSError, match=r"\[E164\] xxx.* cannot be written: File name too long"):
        spacy_ctxemb.to_disk(nlps[0], 300 * "x")


def test_a_working_directory_that_is_gone(
    nlps: list[Language], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(OSError, match=r"\[E164\] pipeline cannot be written: No such file"):
        spacy_ctxemb.to_disk(nlps[0], "pipeline")


def test_what_a_kill_of_spacys_own_writer_left_is_replaced(
    nlps: list[Language], tmp_path: Path
) -> None:
    nlps[0].to_disk(tmp_path)
    (tmp_path / "meta.json").write_text("")
    (tmp_path / "config.cfg").write_text("")
    spacy_ctxemb.to_disk(nlps[0], tmp_path)
    assert find(tmp_path, nlps) == 0


def test_threads_that_save_to_one_folder(nlps: list[Language], tmp_path: Path) -> None:
    errors = []

    def save(nlp: Language) -> None:
        try:
            for _ in range(5):
                spacy_ctxemb.to_disk(nlp, tmp_path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(nlp,)) for nlp in nlps * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    find(tmp_path, nlps)


def test_a_pipeline_that_another_replaces_meanwhile(
    nlps: list[Language], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look at its components and one at its files."""
    spacy_ctxemb.to_disk(nlps[0], tmp_path)
    read = save_pipeline.read_component_names
    looks = iter([["ctxemb", "sentences1"]])
    monkeypatch.setattr(
        save_pipeline, "read_component_names", lambda path: next(looks, None) or read(path)
    )
    spacy_ctxemb.to_disk(nlps[1], tmp_path)
    assert find(tmp_path, nlps) == 1


def kill(work: object, seconds: float) -> None:
    """Run something in a process, and kill it after some time."""
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    time.sleep(seconds)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()


KILLS = pytest.mark.parametrize("n", [2, pytest.param(20, marks=pytest.mark.slow)])


@KILLS
def test_kills_of_a_writer_that_replaces(n: int, nlps: list[Language], tmp_path: Path) -> None:
    """What was there is there, or the new one is; the next writer removes what is left."""
    out = tmp_path / "out"
    spacy_ctxemb.to_disk(nlps[0], out)

    def save() -> None:
        for i in range(1000):
            spacy_ctxemb.to_disk(nlps[(i + 1) % 2], out)

    for i in range(n):
        kill(save, 0.05 + 0.013 * i)
        find(out, nlps)
    spacy_ctxemb.to_disk(nlps[0], out)
    assert find(out, nlps) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@KILLS
def test_kills_of_a_command_that_writes_a_new_one(n: int, tmp_path: Path) -> None:
    """Nothing is there, or all; what is left is in nobody's way, whatever the process's number."""
    model = write_model(tmp_path / "model")
    folder = tmp_path / "pipelines"
    folder.mkdir()
    command = ["import", "elmo", "--lang", "xx", model.options, model.weights]
    run_well(*command, tmp_path / "out")  # so that children need not import what it needs
    for i in range(n):
        arguments = [*command, folder / f"out{i}"]
        worker = multiprocessing.get_context("fork").Process(target=run, args=arguments)
        worker.start()
        while worker.is_alive() and not any(folder.glob(".ctxemb-*/*")):
            time.sleep(0.0005)
        time.sleep(0.008 * i)
        worker.kill()
        worker.join()
        if not (folder / f"out{i}").exists():
            run_well(*arguments)
        assert spacy.load(folder / f"out{i}")("Two words").tensor.any()
    assert len([*folder.iterdir()]) in (n, n + 1)  # perhaps what the last one has left
