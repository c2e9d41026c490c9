"""Numbers that depend on the step of training: learning rates, counts of frozen layers."""

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any

from .errors import Errors

#: From a step, 0 for the first, to a number.
StepFunction = Callable[[int], float]

#: Steps in which a rate rises where their number is not known.
UNKNOWN_WARMUP = 50

#: What a config may hold: such a function, or numbers one after the other, as from Thinc.
Schedule = StepFunction | Iterable[float]


def as_function(schedule: Schedule | float) -> StepFunction:
    """Turn any kind of schedule into a function of the step; a number stays the same throughout.

    Raises E204 if there are no numbers.

    Example:
        learn_rate = as_function(warmup_linear(0.001, 100, 1000))
        learn_rate(99)
    """
    if isinstance(schedule, int | float):
        return Series([schedule])
    return schedule if callable(schedule) else Series(schedule)


def warmup_linear(
    *, initial_rate: float, total_steps: int | str, warmup_share: float = 0.05
) -> Iterator[float]:
    """`spacy-ctxemb.warmup_linear.v1`: rates that rise, and then fall to 0, as Thinc's
    warmup_linear.v1 has them.

    initial_rate: the largest one.
    total_steps: of the training: `${training.max_steps}`, so that --training.max_steps on the
        command line changes both. Where that is 0, or where nothing fills in variables
        (nlp.create_optimizer), the end is not known, and the largest rate stays.
    warmup_share: of the steps in which it rises; 50 steps where their number is not known. 0.05
        to 0.1; Devlin et al. 2019, "BERT", appendix A.3.
    """
    total = 0 if isinstance(total_steps, str) else total_steps
    warmup = round(warmup_share * total) if total else UNKNOWN_WARMUP
    for step in count():
        if step < warmup:
            yield initial_rate * step / warmup
        else:
            rest = (total - step) / max(1, total - warmup) if total else 1.0
            yield initial_rate * max(0.0, rest)


class Series:
    """Looks up numbers that come one after the other by their places; after the last one it stays
    at that.

    A generator can neither be looked up nor copied, so numbers are kept as they come. Copies in
    one process share a series; a pickle has the numbers that have come so far.
    """

    def __init__(self, values: Iterable[float]) -> None:
        self._rest: Iterator[float] = iter(values)
        self._known = list(islice(self._rest, 1))
        if not self._known:
            raise ValueError(Errors.E204)

    def __call__(self, step: int) -> float:
        self._known.extend(islice(self._rest, max(step + 1 - len(self._known), 0)))
        return self._known[min(step, len(self._known) - 1)]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Series":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Series, (list(self._known),)
