"""The comparison of two runs finds whatever differs."""

import os
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from spacy_ctxemb.pretraining.save_and_resume import list_checkpoints

from ..cli.command import run_well
from ..pretraining.runs import build_trainer, tiny_run, write_documents
from . import resume_kills
from .resume_kills import compare_values, describe, main, read_rows, read_state


def test_a_single_bit_is_a_difference() -> None:
    a = {"x": torch.zeros(3), "step": 1, "gone": 2}
    b = {"x": torch.tensor([0.0, 0.0, 1e-45]), "step": 1.0, "new": 2}
    assert list(compare_values(a, a, "t")) == []
    assert list(compare_values(a, b, "t")) == ["t: gone", "t: new", "t: step", "t: x"]


def test_checkpoints_are_compared_as_a_whole(tmp_path: Path) -> None:
    trainer = build_trainer(tiny_run(write_documents(tmp_path)), tmp_path)
    states = []
    for step in range(2):
        trainer.take_step(step)
        checkpoints, module = trainer.checkpoints, trainer.module
        trainer.progress = trainer.progress._replace(steps=step + 1)
        checkpoints.save(trainer.progress, module, trainer.optimizer, trainer.shards)
        states.append(read_state(list_checkpoints(checkpoints.folder)[-1]))
    n_weights = len(trainer.module.state_dict())
    names = [name for name in states[0] if name.startswith("state.model.")]
    assert len(names) == n_weights
    same = list(compare_values(states[0], states[0], "c"))
    changed = {d.removeprefix("c: ") for d in compare_values(*states, "c")}
    assert same == []
    assert {"name", "progress", *names} <= changed
    shard = "shard-00000"
    assert {f"{shard}.carried.h", f"{shard}.stream.backward.read"} <= changed
    moments = {name for name in states[0] if name.endswith((".exp_avg", ".exp_avg_sq"))}
    assert len(moments) == 2 * n_weights and moments <= changed


def test_the_clock_is_not_compared(tmp_path: Path) -> None:
    row = '{"step": 10, "words": 20, "losses": {"forward": 2.5}, "words_per_second": %d}\n'
    for name, speed in (("a", 3), ("b", 4)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text(row % speed)
    found = [read_rows(tmp_path / name) for name in "ab"]
    expected = {"step": 10, "words": 20, "losses": {"forward": 2.5}}
    assert found[0] == found[1] == {f"0, step 10, {k}": value for k, value in expected.items()}


def test_what_was_killed_is_described(tmp_path: Path) -> None:
    assert describe(tmp_path) == (0, False)
    for name in ("step-00000005", "step-00000010", ".ctxemb-0a0b"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert describe(tmp_path) == (10, True)


def kill(kills: int, steps: int) -> None:
    main(kills=kills, steps=steps, checkpoint_every=5, seed=0, output=None)


class Forked:
    """A run in a process that has imported everything, with what is used of `Popen`."""

    def __init__(self, config: Path, output: Path) -> None:
        self.process = get_context("fork").Process(target=self.work, args=(config, output))
        self.process.start()
        assert self.process.pid
        self.pid = self.process.pid
        while self.process.is_alive() and os.getpgid(self.pid) != self.pid:
            time.sleep(0.001)

    def work(self, config: Path, output: Path) -> None:
        os.setsid()
        run_well("pretrain", config, output, "--resume")

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, seconds: float) -> None:
        self.process.join(seconds)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("pretrain", seconds)

    def communicate(self) -> tuple[str, str]:
        self.process.join()
        return "", ""


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bear a fork")
@pytest.mark.parametrize("kills, steps", [(2, 20), pytest.param(20, 60, marks=pytest.mark.slow)])
def test_kills_lose_nothing(kills: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a process is forked: most of the time of a fresh one goes into importing libraries."""
    monkeypatch.setattr(resume_kills, "start", Forked)
    kill(kills, steps)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_kills_of_fresh_processes_lose_nothing() -> None:
    kill(5, steps=100)
