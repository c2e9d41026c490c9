"""Runs training and evaluation, each in a process of its own, and only once.

This process stays small, and imports neither spaCy nor PyTorch: what a process has in memory when
it starts another counts towards the peak of that one.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .accuracy_keys import Json, make_key

Command = list[str]


class Job(NamedTuple):
    """A pipeline to be trained, and scored.

    folder: what `spacy train` writes to; the log of its steps, steps.jsonl, and the scores if it is
        evaluated, test.json, lie there too.
    commands: in their order; "train" and "evaluate" are measured.
    score: the key of the score that is reported.
    inputs: files and folders that the result depends on.
    about: what else the result is to say.
    python: of the environment.
    """

    folder: Path
    commands: dict[str, Command]
    score: str
    inputs: Sequence[Path]
    about: Json
    python: str = sys.executable


class Finished(NamedTuple):
    """seconds: from start to end. megabytes: the largest memory of the process."""

    seconds: float
    megabytes: float


class Failed(Exception):
    """A command did not end well."""


def run_job(
    job: Job,
    path: Path,
    *,
    threads: int,
    keep: bool = False,
    measure: Callable[[Job, dict[str, Finished]], Json] | None = None,
) -> bool:
    """Write the result to a path, unless it is there; whether it was not.

    measure: what makes the result of a finished job, measure_test by default.
    """
    spelt = {name: spell(command, threads) for name, command in job.commands.items()}
    key = make_key(list(spelt.values()), job.inputs, job.python)
    if path.exists() and read_json(path)["key"] == key:
        return False
    path.unlink(missing_ok=True)  # that of other data or commands
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    log = path.with_suffix(".txt")
    log.unlink(missing_ok=True)
    finished = {
        name: run(command, log, threads=threads, python=job.python)
        for name, command in job.commands.items()
    }
    about = {**job.about, "threads": threads}
    write_json(
        path, {**about, **(measure or measure_test)(job, finished), "commands": spelt, "key": key}
    )
    log.unlink()
    if not keep:
        shutil.rmtree(job.folder)
    return True


def run_once(
    commands: Sequence[Command], inputs: Sequence[Path], output: Path, python: str = sys.executable
) -> None:
    """Make a folder from inputs, unless it was made from the same ones in the same way."""
    marker = output / "benchmark.json"
    key = make_key([spell(command) for command in commands], inputs, python)
    if marker.exists() and read_json(marker) == key:
        return
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    log = output.with_name(f"{output.name}.txt")
    for command in commands:
        run(command, log, threads=1, python=python)
    write_json(marker, key)


def run(command: Command, log: Path, *, threads: int, python: str = sys.executable) -> Finished:
    """A command of spaCy. log: a file that what it prints is added to."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    with log.open("a", encoding="utf8") as file:
        print("$", spell(command, threads), file=file, flush=True)
        process = subprocess.Popen(
            [python, "-m", "spacy", *command],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"exit code {process.returncode}, see {log}: {spell(command, threads)}")
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Finished(time.perf_counter() - start, usage.ru_maxrss * unit / 1e6)


def spell(command: Sequence[str], threads: int | None = None) -> str:
    """A command as it is pasted into a shell."""
    line = shlex.join(["python", "-m", "spacy", *command])
    return line if threads is None else f"OMP_NUM_THREADS={threads} {line}"


def measure_test(job: Job, finished: dict[str, Finished]) -> Json:
    """What a job has shown."""
    training, evaluation = finished["train"], finished["evaluate"]
    steps = read_log(job.folder / "steps.jsonl")
    test, last = read_json(job.folder / "test.json"), steps[-1]
    # The words of the steps without an evaluation: as many a step as all steps have.
    words = last["words"] * last["steps"] / (last["step"] + 1)
    size = sum(f.stat().st_size for f in (job.folder / "model-best").rglob("*") if f.is_file())
    return {
        "metric": job.score,
        "score": test[job.score],
        "dev": [[step["step"], step["score"]] for step in steps],
        "words": last["words"],
        "epochs": last["epoch"],
        "train_words_per_second": round(words / last["seconds"], 1) if words else None,
        "train_words_per_cpu_second": round(words / last["cpu_seconds"], 1) if words else None,
        "predict_words_per_second": round(test["speed"], 1),
        "train_megabytes": round(training.megabytes),
        "predict_megabytes": round(evaluation.megabytes),
        "disk_megabytes": round(size / 1e6, 2),
        "train_seconds": round(training.seconds, 1),
        "evaluate_seconds": round(evaluation.seconds, 1),
    }


def read_log(path: Path) -> list[Json]:
    """What step_log.py writes."""
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def read_json(path: Path) -> Json:
    return json.loads(path.read_text(encoding="utf8"))


def write_json(path: Path, value: Json) -> None:
    """All of a file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf8")
    temporary.replace(path)
