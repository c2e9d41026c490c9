"""Which learning rate does each step have, and does it fit what learns?"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from spacy.util import registry

from .build_parts import Plan
from .findings import Finding, error, ok, warning
from .what_learns import list_trained
from .which_weights import find_weights

#: Steps looked at where training has no end.
N_STEPS = 20000

#: The largest rate that a Transformer with weights bears. Source: Devlin et al. 2019, "BERT",
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


def read_rates(optimizer: dict[str, Any], n_steps: int) -> Rates:
    """Resolve the schedule of a config for so many steps."""
    rate = registry.resolve({"rate": optimizer["learn_rate"]})["rate"]
    constant = isinstance(rate, int | float)
    rates = [float(value) for value in ([rate] if constant else islice(rate, max(n_steps, 1)))]
    peak = max(rates)
    return Rates(rates[0], peak, rates.index(peak), rates[-1], min(rates) == peak)


def check_learning_rate(plan: Plan, n_steps: int | None) -> Iterator[Finding]:
    """Check the rates and the optimizer. n_steps: of the training; None where it has no end."""
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
    if n_steps is not None and not rates.is_constant and rates.peak_step >= known - 1 > 0:
        yield warning(
            f"The learning rate still rises when training ends after {n_steps:,} steps: the "
            "warm-up is longer than the training.",
            "Lower warmup_steps to a tenth of the steps, or train longer.",
        )
    n_trained = 0
    for part in plan.embedders:
        for name, shim in list_trained(part, plan).items():
            n_trained += 1
            has_weights = find_weights(name, shim, part, plan) is not None
            if has_weights and shim.embedder.encoder.has_attention:
                yield from check_fine_tuning(name, rates, shim.layer_training.learn_rate_factor)
    if not n_trained and plan.embedders and rates.peak < LEAST_HEAD_RATE:
        yield warning(
            f"No encoder learns, and the learning rate is {rates.peak:g} at most.",
            "Only what stands on top learns: raise it to 0.001 to 0.005.",
        )
    yield from check_regularisation(optimizer, has_trained=n_trained > 0)


def describe(rates: Rates, n_steps: int) -> str:
    if rates.is_constant:
        return f"The learning rate is {rates.peak:g} in all steps"
    return (
        f"The learning rate goes from {rates.first:g} to {rates.peak:g} in step "
        f"{rates.peak_step:,}, and is {rates.last:g} after {n_steps:,} steps"
    )


def check_fine_tuning(name: str, rates: Rates, factor: float) -> Iterator[Finding]:
    """Check whether a Transformer with weights bears its rate. factor: its learn_rate_factor."""
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


def check_regularisation(optimizer: dict[str, Any], *, has_trained: bool) -> Iterator[Finding]:
    """Check weight decay, and clipping of gradients."""
    decay, clip = optimizer.get("L2", 0.0), optimizer.get("grad_clip", 0.0)
    if not isinstance(decay, int | float) or not isinstance(clip, int | float):
        return
    if decay > 0.1:
        yield warning(f"L2 is {decay:g}: weights shrink fast.", "0.01 is usual.")
    elif decay and not optimizer.get("L2_is_weight_decay", True):
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
