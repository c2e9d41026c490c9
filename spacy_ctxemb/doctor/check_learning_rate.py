"""Which learning rate does each step have, and does it fit what learns?"""

from collections.abc import Iterator
from itertools import islice, repeat
from typing import Any

from spacy.util import registry

from ..thinc_model.embedder_shim import EmbedderShim
from .build_components import Part, Plan
from .check_what_learns import find_weights, list_trained
from .findings import Finding, error, ok, warning

#: Steps looked at where training has no end.
N_STEPS = 20000

#: The largest rate that a Transformer with weights bears. Source: Devlin et al. 2019, "BERT",
#: appendix A.3, has 5e-5.
LARGEST_RATE = 1e-4

#: That of one of at most so many parameters.
LARGEST_SMALL_RATE, N_SMALL = 5e-4, 15_000_000

#: The smallest rate at which a new head learns in reasonable time, and the largest that it bears.
LEAST_HEAD_RATE, LARGEST_HEAD_RATE = 1e-4, 0.02


#: A share of the largest rate. A schedule that ends above it may be cut short.
LATE_SHARE = 0.2


def check_learning_rate(plan: Plan, n_steps: int | None) -> Iterator[Finding]:
    """Check the rates and the optimizer. n_steps: of the training; None where it has no end."""
    optimizer = plan.training["optimizer"]
    if "learn_rate" not in optimizer:  # not one of Thinc's
        yield ok(f"The optimizer is {optimizer.get('@optimizers')}, with rates of its own")
        return
    rates = read_rates(optimizer, n_steps or N_STEPS)
    settings = plan.initialize.get("components") or {}
    fitted = [name for name, own in settings.items() if own.get("fit")]
    if fitted and not any(rates):
        yield ok(f"The learning rate is 0 in all steps: {fitted} are fitted before the first")
        return
    yield describe(rates)
    if n_steps and rates[0] < max(rates) == rates[-1]:
        yield warning(
            f"The learning rate still rises when training ends after {n_steps:,} steps: the "
            "warm-up is longer than the training.",
            "Lower warmup_steps to a tenth of the steps, or train longer.",
        )
    elif n_steps:
        yield from check_end(optimizer, rates, n_steps)
    trained = [
        (name, shim, part) for part in plan.embedders for name, shim in list_trained(part).items()
    ]
    for name, shim, part in trained:
        if shim.embedder.encoder.has_attention and find_weights(name, part):
            yield from check_fine_tuning(name, rates, shim)
            yield from check_new_heads(part, max(rates))
    peak = max(rates)
    if plan.embedders and not trained and peak and not LEAST_HEAD_RATE <= peak <= LARGEST_HEAD_RATE:
        verb = "raise" if peak < LEAST_HEAD_RATE else "lower"
        yield warning(
            f"No encoder learns, and the learning rate is {peak:g} at most.",
            f"Only what stands on top learns: {verb} it to 0.001 to 0.005.",
        )
    yield from check_regularisation(optimizer, has_trained=bool(trained))


def read_rates(optimizer: dict[str, Any], n_steps: int) -> list[float]:
    """The learning rate of each step."""
    rate = registry.resolve({"rate": optimizer["learn_rate"]})["rate"]
    rates = repeat(rate) if isinstance(rate, int | float) else rate
    return [float(value) for value in islice(rates, n_steps)]


def describe(rates: list[float]) -> Finding:
    """Say how the rate changes."""
    peak = max(rates)
    if peak <= 0.0:
        return error("The learning rate is 0 in all steps.", "Set training.optimizer.learn_rate.")
    if min(rates) == peak:
        return ok(f"The learning rate is {peak:g} in all steps")
    return ok(
        f"The learning rate is {rates[0]:g} at first, {peak:g} in step {rates.index(peak):,}, and "
        f"{rates[-1]:g} after {len(rates):,} steps"
    )


def check_fine_tuning(name: str, rates: list[float], shim: EmbedderShim) -> Iterator[Finding]:
    """Check whether a Transformer with weights bears its rate."""
    factor = shim.layer_training.learn_rate_factor
    peak = factor * max(rates)
    n_parameters = sum(parameter.numel() for parameter in shim.embedder.encoder.parameters())
    largest = LARGEST_SMALL_RATE if n_parameters <= N_SMALL else LARGEST_RATE
    if peak > (1 + 1e-6) * largest:
        yield warning(
            f"'{name}' is a Transformer with weights, and is fine-tuned at a rate of up to "
            f"{peak:g}: it may forget what it knows.",
            f"Use 2e-5 to {largest:g}, with warmup_linear.v1, or a lower learn_rate_factor.",
        )
    if rates[0] > 0.5 * max(rates):
        yield warning(
            f"The learning rate of '{name}' has no warm-up: it begins at {factor * rates[0]:g}.",
            "Use warmup_linear.v1 with warmup_steps of a twentieth of the steps.",
        )


def check_end(optimizer: dict[str, Any], rates: list[float], n_steps: int) -> Iterator[Finding]:
    """Find a schedule that would lower the rate further after the last step of training."""
    if rates[-1] <= LATE_SHARE * max(rates):
        return
    later = read_rates(optimizer, 10 * n_steps)
    if len(later) > n_steps and min(later[n_steps:]) < 0.5 * rates[-1]:
        yield warning(
            f"The learning rate is still {rates[-1]:g} when training ends after {n_steps:,} steps, "
            f"{rates[-1] / max(rates):.0%} of its maximum: the schedule is longer than the "
            "training.",
            "Set total_steps of the schedule to the steps of training: ${training.max_steps}, with "
            "spacy-ctxemb.warmup_linear.v1.",
        )


def check_new_heads(part: Part, peak: float) -> Iterator[Finding]:
    """Find components that begin anew at the small rate of the encoder that they are on."""
    new = [one.name for one in part.readers if not (one.is_sourced or one.is_frozen)]
    if new and 0.0 < peak < LEAST_HEAD_RATE:
        yield warning(
            f"{new} are new, and learn at the same small rate as '{part.name}', {peak:g} at most: "
            "they learn slowly.",
            "Raise learn_rate to 0.001, and set learn_rate_factor of the encoder's model so that "
            "it learns as before; or train them on the frozen encoder first.",
        )


def check_regularisation(optimizer: dict[str, Any], *, has_trained: bool) -> Iterator[Finding]:
    """Check weight decay, and clipping of gradients. Both may be schedules, which are left out."""
    decay, clip = optimizer.get("L2", 0.0), optimizer.get("grad_clip", 0.0)
    if isinstance(decay, int | float) and decay > 0.1:
        yield warning(f"L2 is {decay:g}: weights shrink fast.", "0.01 is usual.")
    elif decay and not optimizer.get("L2_is_weight_decay", True):
        what = "is added to gradients, which Adam scales again."
        yield warning(f"L2 of {decay} {what}", "Set L2_is_weight_decay = true.")
    if has_trained and isinstance(clip, int | float) and not 0.1 <= clip <= 10.0:
        cuts = 0.0 < clip < 0.1
        what = "nearly every step is cut short" if cuts else "one bad batch may do much harm"
        yield warning(f"grad_clip is {clip:g}: {what}.", "1.0 is usual.")
