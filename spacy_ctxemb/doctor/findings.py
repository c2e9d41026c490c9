"""What an examination finds."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Level(str, Enum):
    """error: training fails, or learns nothing. warning: it may be worse than it could be."""

    ok = "ok"
    warning = "warning"
    error = "error"


@dataclass(frozen=True)
class Finding:
    """One line of the report. message: with the values seen. advice: the next step."""

    level: Level
    message: str
    advice: str = ""


def ok(message: str) -> Finding:
    return Finding(Level.ok, message)


def warning(message: str, advice: str) -> Finding:
    return Finding(Level.warning, message, advice)


def error(message: str, advice: str) -> Finding:
    return Finding(Level.error, message, advice)


@dataclass
class Report:
    """All findings by topic. figures: numbers behind them, by name."""

    topics: dict[str, list[Finding]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, topic: str, findings: Iterable[Finding]) -> None:
        self.topics.setdefault(topic, []).extend(findings)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each level."""
        levels = Counter(one.level for found in self.topics.values() for one in found)
        return {level.value: levels[level] for level in Level}

    @property
    def has_errors(self) -> bool:
        return self.counts[Level.error.value] > 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        findings = [
            {"topic": topic, **asdict(one), "level": one.level.value}
            for topic, found in self.topics.items()
            for one in found
        ]
        return {"counts": self.counts, "findings": findings, "figures": self.figures}
