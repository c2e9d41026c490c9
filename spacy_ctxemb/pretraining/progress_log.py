"""What people watch: a progress bar, log.jsonl, TensorBoard, Weights & Biases, a plot."""

import json
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..atomic_files import replacing
from ..errors import Errors
from ..objectives import to_perplexity
from ..objectives.base import LIKELIHOODS
from .pretrain_section import PretrainSettings
from .training_loop import Report

LOG = "log.jsonl"

#: Steps between two lines of the log.
LOG_EVERY = 10


class Monitor:
    """Shows and stores the reports of a run, in the first process.

    output: the folder of the run. start: the step at which this process begins.
    describe_scores: makes lines to print after each evaluation.

    Raises E164 where the log cannot be written.

    Example:
        monitor = Monitor(output, settings, start=0)
        trainer.run(on_step=monitor)
        monitor.close()
    """

    def __init__(
        self,
        output: Path,
        settings: PretrainSettings,
        *,
        start: int,
        describe_scores: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.path = output / LOG
        self.describe_scores = describe_scores
        truncate(self.path, start)
        self.bar = tqdm(total=settings.max_steps, initial=start, unit="step", disable=None)
        self.loggers: list[Logger] = []
        if settings.tensorboard:
            self.loggers.append(open_tensorboard(output / "tensorboard", start))
        if settings.wandb_project:
            self.loggers.append(open_wandb(output / "wandb-id", settings.wandb_project, start))

    def __call__(self, report: Report) -> None:
        self.bar.update()
        self.bar.set_postfix_str(format_status(report))
        if report.scores is not None or report.step % LOG_EVERY == 0:
            row = {name: value for name, value in report._asdict().items() if value is not None}
            append(self.path, row)
            for logger in self.loggers:
                logger.log(flatten(row), report.step)
        if report.scores is not None:
            scores = [f"{name.replace('_', ' ')} {x:.4g}" for name, x in report.scores.items()]
            self.show(f"step {report.step}: {', '.join(scores)}")
            for line in self.describe_scores():
                self.show(line)

    def show(self, line: str) -> None:
        """Print a line above the progress bar."""
        self.bar.write(line)

    def close(self) -> None:
        self.bar.close()
        for logger in self.loggers:
            logger.close()


def format_status(report: Report) -> str:
    loss = sum(report.losses.values()) / max(len(report.losses), 1)
    shown = [f"loss {loss:.3f}"]
    if report.losses.keys() <= LIKELIHOODS:
        shown.append(f"perplexity {to_perplexity(loss):.1f}")
    return ", ".join([*shown, f"{report.words_per_second:,.0f} words/s"])


def truncate(path: Path, step: int) -> None:
    rows = read_log(path)
    kept = [row for row in rows if row["step"] <= step]
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf8")


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a log. Raises E164."""
    try:
        with path.open("a", encoding="utf8") as log:
            log.write(json.dumps(row) + "\n")
    except OSError as error:
        advice = "Make room there, and go on with --resume."
        raise OSError(Errors.E164.format(path=path, reason=error, advice=advice)) from error


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a log up to one that is none, as an interruption leaves it."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
            numbers = [row["step"], row["words"], *row["losses"].values()]
            numbers += row.get("scores", {}).values()
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            break
        if not all(isinstance(number, int | float) for number in numbers):
            break
        rows.append(row)
    return rows


class Logger(NamedTuple):
    """Another program that logs. log: takes numbers by name, and their step."""

    log: Callable[[dict[str, float], int], None]
    close: Callable[[], None]


def open_tensorboard(folder: Path, start: int) -> Logger:
    """start: the step before."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(folder, purge_step=start + 1)

    def log(numbers: dict[str, float], step: int) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return Logger(log, writer.close)


def open_wandb(path: Path, project: str, start: int) -> Logger:
    """Open a run, or the one whose id is in a file. One that begins anew is another run there."""
    import wandb

    name = path.read_bytes().decode("ascii", "replace") if start and path.is_file() else ""
    if not re.fullmatch("[0-9a-f]{8}", name):
        name = secrets.token_hex(4)
        with replacing(path) as temporary:
            temporary.write_text(name, encoding="utf8")
    run = wandb.init(project=project, id=name, resume="allow")
    return Logger(lambda numbers, step: run.log(numbers, step=step), run.finish)


def flatten(row: dict[str, Any]) -> dict[str, float]:
    """Give all numbers names such as losses/forward."""
    flat: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}/{inner}": number for inner, number in value.items()}
        else:
            flat[name] = value
    return flat
