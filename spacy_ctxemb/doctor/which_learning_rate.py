"""The learning rate over the steps of a training, and other settings of the optimizer."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from spacy.util import registry

from .build_parts import Plan
from .findings import Finding, error, ok, warning
from .what_learns import find_weights, list_trained

#: Steps looked at where training has no end.
N_STEPS = 20000

#: The largest rate that a Transformer which has weights bears. Source: Devlin et al. 2019, "BERT",
#: appendix A.3, has 5e-5.
LARGEST_RATE = 1e-4

#: The smallest rate at which a head learns in reasonable time, where nothing else learns.
LEAST_HEAD_RATE = 1e-4


class Rates(NamedTuple):
    """The learning rate of each step. peak_step: the first with the largest rate."""

    first: float
    peak: float
    peak_step: int
    last: float
    is_constant: bool

    @classmethod
    def collect(cls, values: Iterable[float]) -> "Rates":
        rates = list(values)
        peak = max(rates)
        return cls(rates[0], peak, rates.index(peak), rates[-1], min(rates) == peak)


def read_rates(optimizer: dict[str, Any], n_steps: int) -> Rates:
    """What a section of a config says of so many steps."""
    rate = optimizer["learn_rate"]
    if isinstance(rate, int | float):
        return Rates.collect([float(rate)])
    schedule = registry.resolve({"schedule": rate})["schedule"]
    if isinstance(schedule, int | float):
        return Rates.collect([float(schedule)])
    return Rates.collect(float(value) for value in islice(schedule, max(n_steps, 1)))


def check_optimizer(plan: Plan, n_steps: int | None) -> Iterator[Finding]:
    """All settings. n_steps: of the training; None where it has no end."""
    optimizer = plan.training["optimizer"]
    if "learn_rate" not in optimizer:  # not one of Thinc's
        yield ok(f"The optimizer is {optimizer.get('@optimizers')}, with rates of its own")
        return
    known = n_steps or N_STEPS
    rates = read_rates(optimizer, known)
    yield ok(describe(rates, known))
    if rates.peak <= 0.0:
        yield error("The learning rate is 0 in all steps.", "Set training.optimizer.learn_rate.")
        return
    trained = {
        name: (shim, find_weights(name, shim, part, plan) is not None)
        for part in plan.embedders
        for name, shim in list_trained(part, plan).items()
    }
    if n_steps is not None and not rates.is_constant and rates.peak_step >= known - 1 > 0:
        yield warning(
            f"The learning rate still rises when training ends after {n_steps:,} steps: the "
            "warm-up is longer than the training.",
            "Lower warmup_steps to a tenth of the steps, or train longer.",
        )
    for name, (shim, is_pretrained) in trained.items():
        if is_pretrained and shim.embedder.encoder.has_attention:
            yield from check_encoder_rate(name, rates, shim.layer_training.learn_rate_factor)
    if not trained and plan.embedders and rates.peak < LEAST_HEAD_RATE:
        yield warning(
            f"No encoder learns, and the learning rate is {rates.peak:g} at most.",
            "Only what stands on top learns: raise it to 0.001 to 0.005.",
        )
    yield from check_other(optimizer, has_trained=bool(trained))


def describe(rates: Rates, n_steps: int) -> str:
    if rates.is_constant:
        return f"The learning rate is {rates.peak:g} in all steps"
    return (
        f"The learning rate goes from {rates.first:g} to {rates.peak:g} in step "
        f"{rates.peak_step:,}, and is {rates.last:g} after {n_steps:,} steps"
    )


def check_encoder_rate(name: str, rates: Rates, factor: float) -> Iterator[Finding]:
    """Whether an encoder of attention, which has weights, bears the rate at which it is trained.

    factor: its learn_rate_factor.
    """
    peak = factor * rates.peak
    if peak > (1 + 1e-6) * LARGEST_RATE:
        how = "constantly" if rates.is_constant else "at most"
        yield warning(
            f"'{name}' is a Transformer with weights, and is fine-tuned at a rate of {how} "
            f"{peak:g}: it may forget what it knows.",
            f"Use 2e-5 to {LARGEST_RATE:g}, with warmup_linear.v1, or a lower learn_rate_factor; "
            "small models bear more.",
        )
    if rates.first > 0.5 * rates.peak:
        yield warning(
            f"The learning rate of '{name}' has no warm-up: it begins at {factor * rates.first:g}.",
            "Use warmup_linear.v1 with warmup_steps of a twentieth of the steps.",
        )


def check_other(optimizer: dict[str, Any], *, has_trained: bool) -> Iterator[Finding]:
    """Weight decay and clipping."""
    decay, clip = optimizer.get("L2", 0.0), optimizer.get("grad_clip", 0.0)
    is_decay = optimizer.get("L2_is_weight_decay", True)
    if not isinstance(decay, int | float) or not isinstance(clip, int | float):
        return
    if decay > 0.1:
        advice = "0.01 is usual."
        yield warning(f"L2 is {decay:g}: weights shrink fast.", advice)
    elif decay and not is_decay:
        yield warning(
            f"L2 of {decay:g} is added to gradients, which Adam scales again.",
            "Set L2_is_weight_decay = true.",
        )
    else:
        yield ok(f"L2 is {decay:g}")
    if has_trained and not clip:
        advice = "Set it to 1.0, so that one bad batch does no harm."
        yield warning("grad_clip is 0, so that gradients of the encoder have no bound.", advice)
    elif has_trained and not 0.1 <= clip <= 10.0:
        what = "nearly every step is cut short" if clip < 0.1 else "it will hardly ever act"
        yield warning(f"grad_clip is {clip:g}: {what}.", "1.0 is usual.")
    else:
        yield ok(f"grad_clip is {clip:g}")
