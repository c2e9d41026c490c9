"""Kills `ctxemb pretrain` again and again, and compares what comes out with a run left alone.

    python -m tests.benchmarks.resume_kills [--kills 20] [--steps 400] [--seed 0] [--output FILE]

A tiny run is trained once without an interruption. Then the same run is started, killed by SIGKILL
at a random moment, resumed, killed again, and so on until there have been as many kills as wanted;
a run that ends before that is compared, and another one is begun. A quarter of the moments are
drawn from the time a process takes to start, half of them from the time in which it trains, and a
quarter from the instants after it has begun to write a checkpoint.

Compared bit by bit: the pipeline's weights, and the last checkpoint's weights, optimizer state,
place in the text and states of the LSTMs; and of the log every row's step, words, losses, gradient
norm, learning rate and scores. Exit code 1 where anything differs.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer
from safetensors.torch import load_file
from torch import Tensor

from spacy_ctxemb.pretraining.progress_log import LOG, read_log
from spacy_ctxemb.pretraining.save_and_resume import list_checkpoints
from spacy_ctxemb.temporary_folders import PREFIX

from ..pretraining.runs import tiny_run, write_documents

#: When to kill, and how often.
PHASES = {"start": 1, "training": 2, "writing": 1}

#: Seconds that a checkpoint takes, roughly.
WRITING = 0.05

#: Seconds between two looks at a process.
PAUSE = 0.002


class Killed(NamedTuple):
    """A process that was killed. phase: one of PHASES. seconds: after the phase began.
    checkpoint: steps of the last checkpoint then; was_writing: whether another one was begun."""

    phase: str
    seconds: float
    checkpoint: int
    was_writing: bool


class Whole(NamedTuple):
    """The run left alone. seconds: until it writes its first checkpoint, and from then on."""

    output: Path
    to_start: float
    to_train: float


def main(
    kills: int = typer.Option(20, help="How often to kill", min=1),
    steps: int = typer.Option(400, help="Of the run", min=10),
    checkpoint_every: int = typer.Option(5, help="Steps", min=1),
    seed: int = typer.Option(0, help="Of the moments"),
    output: Path | None = typer.Option(None, help="JSON file to write"),
) -> None:
    """Kill a run at random moments, resume it, and compare."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), steps, checkpoint_every)
        whole = run_whole(config, Path(folder) / "whole")
        killed: list[Killed] = []
        differences: list[str] = []
        n_runs = 0
        while len(killed) < kills:
            path = Path(folder) / f"killed-{n_runs}"
            killed += run_and_kill(config, path, whole, rng, kills - len(killed))
            differences += [f"run {n_runs}: {d}" for d in compare(whole.output, path)]
            n_runs += 1
    result = {
        "kills": len(killed),
        "while starting": sum(k.phase == "start" for k in killed),
        "while writing a checkpoint": sum(k.was_writing for k in killed),
        "runs": n_runs,
        "steps": steps,
        "seed": seed,
        "differences": differences,
        "killed": [k._asdict() for k in killed],
    }
    print(json.dumps(result, indent=2))
    if output is not None:
        output.write_text(json.dumps(result, indent=2), encoding="utf8")
    if differences:
        raise typer.Exit(1)


def write_config(folder: Path, steps: int, checkpoint_every: int) -> Path:
    """The tiny run of the tests, made longer."""
    config = tiny_run(
        write_documents(folder, n_documents=40),
        pretrain__max_steps=steps,
        pretrain__checkpoint_every=checkpoint_every,
        pretrain__eval_every=max(steps // 4, 1),
    )
    config.to_disk(folder / "pretrain.cfg")
    return folder / "pretrain.cfg"


def start(config: Path, output: Path) -> "subprocess.Popen[str]":
    """Begin a run, or go on with it."""
    command = [sys.executable, "-W", "ignore", "-m", "spacy", "ctxemb", "pretrain"]
    return subprocess.Popen(
        [*command, str(config), str(output), "--resume"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def run_whole(config: Path, output: Path) -> Whole:
    """Train without an interruption."""
    begin = time.monotonic()
    process = start(config, output)
    wait_for_writing(process, output)
    first = time.monotonic()
    finish(process)
    return Whole(output, first - begin, time.monotonic() - first)


def finish(process: "subprocess.Popen[str]") -> None:
    """Wait for the end of a run, which is to be a good one."""
    shown, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"A run ended with code {process.returncode}:\n{shown}")


def run_and_kill(
    config: Path, output: Path, whole: Whole, rng: random.Random, n_kills: int
) -> list[Killed]:
    """A run that is killed up to n_kills times, until it ends."""
    killed: list[Killed] = []
    # So long, on average, that the run is about to end with the last kill.
    span = 2 * whole.to_train * sum(PHASES.values()) / (n_kills * PHASES["training"])
    seconds_of = {"start": whole.to_start, "training": span, "writing": WRITING}
    while len(killed) < n_kills:
        (phase,) = rng.choices(list(PHASES), list(PHASES.values()))
        seconds = rng.uniform(0, seconds_of[phase])
        process = start(config, output)
        if phase != "start":
            wait_for_writing(process, output)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and those that tokenise for it
            process.communicate()
            killed.append(Killed(phase, seconds, *describe(output)))
        else:
            finish(process)
            return killed
    finish(start(config, output))
    return killed


def wait_for_writing(process: "subprocess.Popen[str]", output: Path) -> None:
    """Until a process has begun to write a checkpoint, or has ended."""
    before = list_folders(output)
    while process.poll() is None and not list_folders(output) - before:
        time.sleep(PAUSE)


def list_folders(output: Path) -> set[tuple[str, int]]:
    """Those that are finished and those that are not, with the times of their last change."""
    found = set()
    for path in output.glob("checkpoints/*"):
        try:
            found.add((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:  # renamed just now
            found.add((path.name, 0))
    return found


def describe(output: Path) -> tuple[int, bool]:
    """The steps of the last checkpoint, 0 for none; whether another one was being written."""
    paths = list_checkpoints(output / "checkpoints")
    steps = int(paths[-1].name.removeprefix("step-")) if paths else 0
    return steps, any(output.glob(f"checkpoints/{PREFIX}*"))


def compare(expected: Path, found: Path) -> list[str]:
    """What differs between two runs."""
    differences = list(compare_values(read_rows(expected), read_rows(found), LOG))
    if (expected / "model-last.bin").read_bytes() != (found / "model-last.bin").read_bytes():
        differences.append("model-last.bin")
    states = [read_state(list_checkpoints(o / "checkpoints")[-1]) for o in (expected, found)]
    return differences + list(compare_values(*states, "checkpoint"))


def compare_values(
    expected: Mapping[str, Any], found: Mapping[str, Any], title: str
) -> Iterator[str]:
    """Names of values that are not equal; tensors bit by bit."""
    for name in sorted(expected.keys() | found.keys()):
        a, b = expected.get(name), found.get(name)
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            is_equal = a.dtype == b.dtype and torch.equal(a, b)
        else:
            is_equal = type(a) is type(b) and a == b
        if not is_equal:
            yield f"{title}: {name}"


def read_rows(output: Path) -> dict[str, Any]:
    """Of the log, all that does not depend on the clock."""
    return {
        f"{number}, step {row['step']}, {name}": value
        for number, row in enumerate(read_log(output / LOG))
        for name, value in row.items()
        if name != "words_per_second"
    }


def read_state(checkpoint: Path) -> dict[str, Any]:
    """All that a checkpoint holds, by name."""
    found: dict[str, Any] = {}
    for path in checkpoint.glob("*.safetensors"):
        found |= {f"{path.stem}.{name}": value for name, value in load_file(path).items()}
    progress = json.loads((checkpoint / "progress.json").read_text(encoding="utf8"))
    return {**found, "name": checkpoint.name, "progress": progress}


if __name__ == "__main__":
    typer.run(main)
