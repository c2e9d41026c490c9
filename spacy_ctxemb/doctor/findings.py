"""What the doctor finds, and how it prints this."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from wasabi import msg


class Level(str, Enum):
    """error: training fails, or learns nothing. warning: it may be worse than it could be."""

    ok = "ok"
    warning = "warning"
    error = "error"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    message: what is so, with the values seen.
    advice: what to do; empty where the message says it, as those of errors.py do.
    """

    level: Level
    message: str
    advice: str = ""


ok = partial(Finding, Level.ok)
warning = partial(Finding, Level.warning)
error = partial(Finding, Level.error)


@dataclass
class Report:
    """All findings by topic. figures: the numbers behind them, by name.

    >>> report = Report()
    >>> report.add("Data", [warning("dev: 2 documents are empty.", "Remove them.")])
    >>> report.counts
    {'ok': 0, 'warning': 1, 'error': 0}
    """

    topics: dict[str, list[Finding]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, topic: str, findings: Iterable[Finding]) -> None:
        self.topics.setdefault(topic, []).extend(findings)

    @property
    def counts(self) -> dict[str, int]:
        """The number of findings at each level."""
        levels = Counter(one.level for found in self.topics.values() for one in found)
        return {level.value: levels[level] for level in Level}

    @property
    def has_errors(self) -> bool:
        return self.counts[Level.error.value] > 0

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values."""
        findings = [
            {"topic": topic, **asdict(one), "level": one.level.value}
            for topic, found in self.topics.items()
            for one in found
        ]
        return {"counts": self.counts, "findings": findings, "figures": self.figures}


def print_report(report: Report) -> None:
    """Print all findings by topic, then their number."""
    show: dict[str, Callable[..., Any]] = {"ok": msg.good, "warning": msg.warn, "error": msg.fail}
    for topic, findings in report.topics.items():
        if findings:
            msg.divider(topic)
        for one in findings:
            show[one.level.value](one.message, one.advice)
    msg.divider("Summary")
    worst = [level for level, n in report.counts.items() if n][-1]  # they stand in this order
    show[worst](", ".join(f"{n} {level}" for level, n in report.counts.items()))
