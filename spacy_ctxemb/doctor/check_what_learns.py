"""What learns, and what does not?"""

from collections.abc import Iterator

import torch

from ..encoders.kernels.linear import has_bf16_products
from ..errors import Errors
from ..listeners.listener import get_guard
from ..thinc_model.embedder_shim import EmbedderShim
from .build_components import Part, Plan
from .findings import Finding, error, ok, warning


def check_learning(plan: Plan) -> Iterator[Finding]:
    """Check which components annotate, and what trains each encoder."""
    names = plan.config["nlp"]["pipeline"]
    unknown = [name for name in plan.training["annotating_components"] if name not in names]
    if unknown:
        advice = f"Correct the names; the pipeline has {names}."
        yield warning(f"training.annotating_components has {unknown}, which do not exist.", advice)
    for part in plan.embedders:
        yield from check_annotates(part, plan)
        if part.is_embedder and not part.is_frozen:
            yield check_trained(part, plan)
            yield from check_cache(part, plan)
        yield from check_training_precision(part, plan)


def check_annotates(part: Part, plan: Plan) -> Iterator[Finding]:
    """In training, listeners of a frozen encoder and those that annotate read from Docs."""
    readers = find_readers(part, plan)
    if part.is_frozen:
        reading = [one.name for one in readers if not one.is_frozen]
    else:
        reading = [one.name for one in readers if one.annotates]
    if reading and not part.annotates:
        yield error(
            f"{reading} would have no vectors in training: '{part.name}', which they read, does "
            "not annotate.",
            f'Add "{part.name}" to training.annotating_components.',
        )
    elif reading and part.is_frozen:
        yield ok(f"'{part.name}' is frozen and annotates for {reading}")


def check_trained(part: Part, plan: Plan) -> Finding:
    """An encoder that is not frozen learns from the gradients of its readers."""
    readers = find_readers(part, plan)
    if not sends_gradient(part, plan):
        return warning(
            f"Nothing trains '{part.name}': no component that learns listens to it with a "
            "grad_factor above 0.",
            f"Freeze '{part.name}', or put a listener into a component that learns.",
        )
    frozen = [reader.name for reader in readers if reader.is_frozen]
    if frozen:
        return warning(
            f"{frozen} are frozen, but '{part.name}', which they read, is not: they will see "
            "vectors other than those they know.",
            f"Freeze '{part.name}' too, or train {frozen} along.",
        )
    return ok(f"'{part.name}' is trained by {[reader.name for reader in readers]}")


def find_readers(part: Part, plan: Plan) -> list[Part]:
    """The components that read a component's vectors, each once."""
    listeners = plan.find_listeners(part)
    return [one for one in plan.parts if any(one is reader for reader, _ in listeners)]


def sends_gradient(part: Part, plan: Plan) -> bool:
    """Whether a listener that learns sends a gradient to a component."""
    listeners = plan.find_listeners(part)
    return any(not one.is_frozen and get_guard(node).grad_factor for one, node in listeners)


def list_trained(part: Part, plan: Plan) -> dict[str, EmbedderShim]:
    """The encoders of a component that learn, by name."""
    if part.is_frozen or (part.is_embedder and not sends_gradient(part, plan)):
        return {}
    return {name: shim for name, shim in part.encoders.items() if not keeps_all_layers(shim)}


def keeps_all_layers(shim: EmbedderShim) -> bool:
    """Whether `freeze_layers` leaves nothing of an encoder to learn."""
    encoder = shim.embedder.encoder
    frozen = shim.layer_training.list_always_frozen(encoder)
    return frozen == {name for name, _ in encoder.named_parameters()}


def check_cache(part: Part, plan: Plan) -> Iterator[Finding]:
    """A cache is of no use where the encoder learns."""
    callback = plan.initialize.get("before_init") or {}
    has_callback = callback.get("component") == part.name and "cache" in callback
    if has_callback or part.pipe.cache is not None:
        yield warning(Errors.W007.format(name=part.name))


def check_training_precision(part: Part, plan: Plan) -> Iterator[Finding]:
    """bf16 is slower than fp32 on some CPUs."""
    for name, shim in list_trained(part, plan).items():
        is_low = shim.embedder.training_precision == "bf16"
        if is_low and not torch.cuda.is_available() and not has_bf16_products():
            yield warning(
                f"training_precision of '{name}' is 'bf16', but PyTorch has no fast products in "
                "bf16 on this CPU, so that it is slower than 'fp32'.",
                "Set it to 'fp32', unless you train on another machine.",
            )
