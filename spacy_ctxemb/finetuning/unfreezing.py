"""How many layers are frozen at each step of training: gradual unfreezing.

Source: Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
section 3.3.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..errors import Errors

#: From a step, 0 for the first, to a number.
StepFunction = Callable[[int], float]

#: What a config may hold: such a function, or numbers one after the other, as of Thinc's schedules.
Schedule = StepFunction | Iterable[float]


@dataclass(frozen=True)
class Unfreeze:
    """All layers of n_layers are frozen before the step `start`; there the last one thaws, and
    after every so many steps the next lower one, until all are trained."""

    n_layers: int
    every: int
    start: int = 0

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.every < 1 or self.start < 0:
            what = f"n_layers is {self.n_layers}, every {self.every}, start {self.start}"
            raise ValueError(Errors.E136.format(what=what))

    def __call__(self, step: int) -> int:
        if step < self.start:
            return self.n_layers
        return max(0, self.n_layers - 1 - (step - self.start) // self.every)


def build_unfreeze(*, n_layers: int, every: int, start: int = 0) -> StepFunction:
    """`spacy-ctxemb.unfreeze.v1`: one layer more is trained every so many steps, the last first.

    n_layers: of the encoder, the context-free one included.
    every: steps from one layer to the next; an epoch or so.
    start: the step at which the last layer thaws, if other components are to learn before it.
    """
    return Unfreeze(n_layers, every, start)


class Series:
    """Numbers that come one after the other, by their places.

    A generator can neither be looked up nor copied, so numbers are kept as they come. After the
    last one it stays at that. Copies in one process share a series; a pickle has the numbers that
    have come so far.
    """

    def __init__(self, values: Iterable[float]) -> None:
        self._rest: Iterator[float] = iter(values)
        self._known = list(islice(self._rest, 1))
        if not self._known:
            raise ValueError(Errors.E136.format(what="it is empty"))

    def __call__(self, step: int) -> float:
        while step >= len(self._known):
            value = next(self._rest, None)
            if value is None:
                break
            self._known.append(value)
        return self._known[min(step, len(self._known) - 1)]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Series":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Series, (list(self._known),)


def as_function(schedule: Schedule) -> StepFunction:
    """The number of each step, whatever kind of schedule it is."""
    return schedule if callable(schedule) else Series(schedule)
