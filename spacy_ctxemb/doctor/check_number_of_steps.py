"""How many steps does training take, and how large are they?"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from spacy.training import Example
from spacy.util import registry

from .build_components import Plan
from .findings import Finding, error, ok, warning
from .read_samples import Sample


class Steps(NamedTuple):
    """batches: of the sample. per_epoch, total: about; total is None without a bound."""

    batches: list[list[Example]]
    per_epoch: int
    total: int | None

    @property
    def largest(self) -> list[Example]:
        """The batch with most tokens."""
        return max(self.batches, key=count_tokens)


def count_tokens(batch: list[Example]) -> int:
    return sum(len(eg.predicted) for eg in batch)


def plan_steps(plan: Plan, sample: Sample) -> Steps:
    """Batch a sample as training does. patience may end training before the total."""
    training = plan.training
    batcher = registry.resolve({"batcher": training["batcher"]})["batcher"]
    batches: list[list[Example]] = [list(batch) for batch in batcher(sample.examples)]
    per_epoch = round(len(batches) * sample.n_docs / len(sample.examples))
    bounds = [training["max_steps"], max(training["max_epochs"], 0) * per_epoch]
    return Steps(batches, per_epoch, min((n for n in bounds if n), default=None))


def check_number_of_steps(plan: Plan, steps: Steps, sample: Sample) -> Iterator[Finding]:
    """Say how long training is, and which documents no batch has."""
    if not steps.batches:
        advice = "Raise size of training.batcher, or set discard_oversize = false."
        yield error("The batcher makes no batch of the training texts.", advice)
        return
    n_lost = len(sample.examples) - sum(map(len, steps.batches))
    if n_lost > 0:
        yield warning(
            f"The batcher leaves out {n_lost} of {len(sample.examples)} documents of train, which "
            "are too long.",
            "Set discard_oversize = false, or raise its size.",
        )
    sizes = [count_tokens(batch) for batch in steps.batches]
    total = "without an end" if steps.total is None else f"{steps.total:,} at most"
    epochs = f", {steps.total / max(steps.per_epoch, 1):.1f} epochs" if steps.total else ""
    yield ok(
        f"About {steps.per_epoch:,} steps an epoch, {total}{epochs}; batches of "
        f"{sum(sizes) / len(sizes):.0f} tokens, the largest {max(sizes):,}"
    )
    yield from check_patience(plan.training, steps.total)


def check_patience(training: dict[str, Any], total: int | None) -> Iterator[Finding]:
    """Check what ends training, and how often it is scored."""
    patience, frequency = training["patience"], training["eval_frequency"]
    if total is None and not patience:
        advice = "Set one of them, or stop training by hand."
        yield warning("max_steps, max_epochs and patience are 0: training has no end.", advice)
    if 0 < patience < 2 * frequency:
        yield warning(
            f"patience is {patience} steps and a score comes every {frequency}: one bad score may "
            "end training.",
            f"Raise patience to {5 * frequency}, or lower eval_frequency.",
        )
    if total is not None and frequency > total > 1:
        yield warning(
            f"eval_frequency is {frequency}, but there are {total} steps: only the first and the "
            "last model are scored.",
            "Lower training.eval_frequency.",
        )
