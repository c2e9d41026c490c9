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
from spacy_ctxemb.cli.save_new_pipeline import check_output, write_pipeline

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
def test_kills_of_a_command_that_writes_a_new_one(
    n: int, nlps: list[Language], tmp_path: Path
) -> None:
    """Nothing is there, or all; what is left is in nobody's way, whatever the process's number."""
    n_written = 0
    for i in range(n):
        out = tmp_path / f"out{i}"
        kill(lambda out=out: write_pipeline(nlps[0], out), 0.01 + 0.008 * i)
        if out.exists():
            n_written += 1
        else:
            check_output(out)
            write_pipeline(nlps[0], out)
        assert find(out, nlps) == 0
    assert len([*tmp_path.iterdir()]) in (n, n + 1)  # perhaps what the last one has left
    assert n < 20 or 0 < n_written < n
