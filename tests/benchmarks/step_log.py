"""A logger for `spacy train` that also counts words and takes the time of the steps.

    python -m spacy train CONFIG --code tests/benchmarks/step_log.py \
        --training.logger.@loggers benchmark.StepLog.v1 --training.logger.output_file steps.jsonl
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from spacy import registry
from spacy.language import Language

Info = dict[str, Any] | None
Logger = tuple[Callable[[Info], None], Callable[[], None]]


@registry.loggers("benchmark.StepLog.v1")
def build_step_log(output_file: str) -> Callable[..., Logger]:
    """output_file: a JSON line for each evaluation: step, epoch, score, words, and what they took.

    words: all so far. steps, seconds, cpu_seconds: of those steps so far that no evaluation
    interrupts, the first one left out, since it also does what is done only once. Seconds of the
    CPU are what other programs disturb less.
    """

    def set_up(nlp: Language, stdout: IO[str], stderr: IO[str]) -> Logger:
        timer, path = Timer(), Path(output_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf8")

        def log_step(info: Info) -> None:
            timer.step(is_plain=info is None)
            if info is None:
                return
            row = {name: info[name] for name in ("step", "epoch", "score", "words")}
            line = json.dumps({**row, **timer.read()})
            stdout.write(line + "\n")
            stdout.flush()
            with path.open("a", encoding="utf8") as file:
                file.write(line + "\n")

        return log_step, lambda: None

    return set_up


class Timer:
    """The time of plain steps, each from the end of the step before it."""

    def __init__(self) -> None:
        self.steps = 0
        self.seconds = self.cpu_seconds = 0.0
        self.last: tuple[float, float] | None = None

    def step(self, *, is_plain: bool) -> None:
        now, cpu = time.perf_counter(), time.process_time()
        if is_plain and self.last is not None:
            self.steps += 1
            self.seconds += now - self.last[0]
            self.cpu_seconds += cpu - self.last[1]
        self.last = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        seconds = {"seconds": round(self.seconds, 3), "cpu_seconds": round(self.cpu_seconds, 3)}
        return {"steps": self.steps, **seconds}
