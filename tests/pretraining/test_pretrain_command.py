"""`python -m spacy ctxemb pretrain` as people run it, and runs of several processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import spacy
import torch
from spacy.util import load_config

from spacy_ctxemb.pretraining import run_from_config as pretrain_module
from spacy_ctxemb.pretraining.plot_log import plot_log
from spacy_ctxemb.pretraining.run_from_config import pretrain

from ..cli.command import run, run_well
from ..pipelines import BILM
from .runs import (
    read_weights,
    tiny_distil_run,
    tiny_masked_lm_run,
    tiny_run,
    write_documents,
    write_teacher,
)


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets is taken back after a test."""
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    path = folder / "pretrain.cfg"
    tiny_run(write_documents(folder, n_documents=40), **hold_out(folder)).to_disk(path)
    return path


def hold_out(folder: Path) -> dict[str, str]:
    """A setting: to score few documents, after each step, takes little of a run's time."""
    (folder / "held_out").mkdir()
    return {"paths__held_out": str(write_documents(folder / "held_out", n_documents=6))}


def command(config: Path, output: Path, *arguments: str, n_processes: int = 1) -> list[str]:
    launcher = [sys.executable, "-W", "ignore"]
    if n_processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        launcher += [str(n_processes)]
    return [*launcher, "-m", "spacy", "ctxemb", "pretrain", str(config), str(output), *arguments]


def pretrain_here(config: Path, output: Path, **changes: object) -> None:
    """What the command does, in this process. changes: of [pretrain]."""
    output.mkdir(exist_ok=True)
    overrides = {f"pretrain.{name}": value for name, value in changes.items()}
    loaded = load_config(config, overrides=overrides)
    pretrain(loaded, output, resume=(output / "checkpoints").exists())


def start_process(rank: int, port: int, config: Path, output: Path, changes: object) -> None:
    """What `torchrun` starts, one of two processes."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    assert isinstance(changes, dict)
    pretrain_here(config, output, **changes)


def pretrain_in_two(config: Path, output: Path, **changes: object) -> None:
    """The same in two processes, which begin with what this one has imported."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    output.mkdir(exist_ok=True)
    # A process that has used a GPU cannot be forked.
    context = get_context("spawn" if torch.cuda.is_available() else "fork")
    arguments = (port, config, output, changes)
    processes = [context.Process(target=start_process, args=(i, *arguments)) for i in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
        assert process.exitcode == 0


def read_losses(output: Path) -> dict[int, dict[str, float]]:
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["losses"] for row in rows}


def assert_alike(one: Path, two: Path) -> None:
    """Two processes learn as one that accumulates."""
    losses = read_losses(one)
    assert list(losses) == list(range(1, 5))
    assert read_losses(two) == {n: pytest.approx(found, rel=1e-5) for n, found in losses.items()}
    found = read_weights(two)
    for name, value in read_weights(one).items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_two_processes_learn_as_one_that_accumulates(config: Path, tmp_path: Path) -> None:
    """As `torchrun` starts them."""
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain_here(config, one, eval_every=1, max_steps=4, accumulate=2)
    settings = ["--pretrain.eval_every", "1", "--pretrain.max_steps", "4"]
    done = subprocess.run(
        command(config, two, *settings, n_processes=2), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_alike(one, two)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("objective", "parallel"),
    [("bilm", "fsdp"), ("masked_lm", "fsdp"), ("distil", "fsdp"), ("distil", "ddp")],
)
def test_processes_may_divide_the_parameters(
    config: Path, tmp_path: Path, objective: str, parallel: str
) -> None:
    if objective == "masked_lm":
        config = tmp_path / "pretrain.cfg"
        text = write_documents(tmp_path, n_documents=40)
        tiny_masked_lm_run(text, **hold_out(tmp_path)).to_disk(config)
    if objective == "distil":
        config = tmp_path / "pretrain.cfg"
        text = write_documents(tmp_path, n_documents=40)
        teacher = write_teacher(tmp_path / "teacher", BILM)
        tiny_distil_run(text, teacher, pretrain__objective__masked=0.5).to_disk(config)
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain_here(config, one, eval_every=1, max_steps=4, accumulate=2)
    pretrain_in_two(config, two, eval_every=1, max_steps=4, parallel=parallel)
    assert_alike(one, two)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_run_goes_on_in_another_number_of_processes(
    config: Path, tmp_path: Path, parallel: str
) -> None:
    one, moved = tmp_path / "one", tmp_path / "moved"
    pretrain_here(config, one, eval_every=1, max_steps=2, accumulate=2)
    shutil.copytree(one, moved)
    pretrain_here(config, one, eval_every=1, max_steps=4, accumulate=2)
    pretrain_in_two(config, moved, eval_every=1, max_steps=4, parallel=parallel)
    assert_alike(one, moved)
    pretrain_here(config, one, eval_every=1, max_steps=6, accumulate=2)
    pretrain_here(config, moved, eval_every=1, max_steps=6, accumulate=2)
    assert read_losses(moved)[6] == pytest.approx(read_losses(one)[6], rel=1e-5)


def test_a_killed_run_goes_on(config: Path, tmp_path: Path) -> None:
    changes = {"max_steps": 60, "checkpoint_every": 5, "eval_every": 60}
    whole, output = tmp_path / "whole", tmp_path / "killed"
    pretrain_here(config, whole, **changes)
    settings = [text for name, n in changes.items() for text in (f"--pretrain.{name}", str(n))]
    process = subprocess.Popen(
        command(config, output, *settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while len(list(output.glob("checkpoints/step-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    shown = run_well("pretrain", config, output, *settings, "--resume")
    assert "resumed after step" in shown
    found = read_weights(output)
    for name, value in read_weights(whole).items():
        assert torch.equal(found[name], value), name


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run, with its pipeline in it, and what was printed."""
    output = tmp_path_factory.mktemp("run")
    settings = ["--to-pipeline", output / "pipeline", "--pretrain.neighbours", '["bank"]']
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("THP_MEM_ALLOC_ENABLE", "1")
        patched.setattr(pretrain_module, "plot_log", plot_log)
        return output, run_well("pretrain", config, output, *settings)


def test_weights_reach_pipelines(finished: tuple[Path, str]) -> None:
    output, shown = finished
    assert "[bank]" in shown and "~" in shown  # a word in context, and its neighbours
    nlp = spacy.load(output / "pipeline")
    doc = nlp("She stood on the steep bank.")
    assert doc.tensor.shape == (7, 16)
    loaded = dict(nlp.get_pipe("ctxemb").model.shims[0].embedder.encoder.state_dict())
    for name, value in read_weights(output).items():
        assert torch.equal(loaded[name], value)
    assert load_config(output / "config.cfg")["pretrain"]["max_steps"] == 6
    assert (output / "curves.png").stat().st_size > 1000


def test_its_weights_are_scored(finished: tuple[Path, str], config: Path, tmp_path: Path) -> None:
    output, _ = finished
    text = load_config(config).interpolate()["paths"]["held_out"]
    weights, scores = output / "model-last.bin", tmp_path / "scores.json"
    run_well("perplexity", output / "config.cfg", weights, text, "--output", scores)
    found = json.loads(scores.read_text())["perplexity"]
    assert found.keys() == {"forward", "backward", "mean"} and found["mean"] > 1


def test_a_pipeline_is_not_written_over(finished: tuple[Path, str], config: Path) -> None:
    """It is said before the run, not after it."""
    place = finished[0] / "pipeline"
    before = (place / "meta.json").read_bytes()
    code, shown = run("pretrain", config, place.parent / "new", "--to-pipeline", place)
    assert code == 1 and "[E362]" in shown and "is not replaced" in shown
    assert (place / "meta.json").read_bytes() == before
    assert not (place.parent / "new").exists()


def test_errors_are_messages(config: Path, tmp_path: Path) -> None:
    code, shown = run(
        *("pretrain", config, tmp_path, "--pretrain.objective.n_rows", "2"),
        *("--pretrain.precison", "x"),
    )
    assert code == 1
    assert "[E453] [pretrain] has unknown settings ['precison'], and lacks []" in shown
