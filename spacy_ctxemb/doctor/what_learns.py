"""What learns, and what does not?"""

from collections.abc import Iterator

import torch
from spacy.pipeline.tok2vec import Tok2VecListener

from ..encoders.kernels.linear import has_bf16_products
from ..thinc_model.embedder_shim import EmbedderShim
from .build_parts import Part, Plan
from .findings import Finding, error, ok, warning


def check_learning(plan: Plan) -> Iterator[Finding]:
    """Check frozen and annotating components, and what trains each encoder."""
    for key in ("frozen_components", "annotating_components"):
        names = plan.config["nlp"]["pipeline"]
        unknown = [name for name in plan.training[key] if name not in names]
        if unknown:
            advice = f"Correct the names; the pipeline has {names}."
            yield warning(f"training.{key} has {unknown}, which are not there.", advice)
    for part in plan.embedders:
        readers = plan.find_readers(part)
        if part.is_frozen:
            yield from check_frozen(part, readers)
        elif part.is_embedder:
            yield from check_trained(part, readers, plan)
            yield from check_cache(part, plan)
        yield from check_training_precision(part, plan)


def check_frozen(part: Part, readers: list[Part]) -> Iterator[Finding]:
    """A frozen encoder has to annotate, so that its readers can learn from its vectors."""
    learning = [reader.name for reader in readers if not reader.is_frozen]
    if learning and not part.annotates:
        yield error(
            f"'{part.name}' is frozen and does not annotate, so {learning} would have no vectors "
            "to learn from.",
            f'Add "{part.name}" to training.annotating_components.',
        )
    elif learning:
        yield ok(f"'{part.name}' is frozen and annotates for {learning}")


def check_trained(part: Part, readers: list[Part], plan: Plan) -> Iterator[Finding]:
    """An encoder that is not frozen learns from the gradients of its readers."""
    annotating = [reader.name for reader in readers if reader.annotates]
    if annotating and not part.annotates:
        yield error(
            f"{annotating} annotate in training, but '{part.name}', which they read, does not, so "
            "they would have no vectors.",
            f'Add "{part.name}" to training.annotating_components.',
        )
    frozen = [reader.name for reader in readers if reader.is_frozen]
    if not readers:
        yield warning(
            f"No component listens to '{part.name}', so nothing trains it.",
            "Put a spacy.Tok2VecListener.v1 into the model of a component, or freeze it.",
        )
    elif len(frozen) == len(readers):
        yield warning(
            f"All that listen to '{part.name}' are frozen: {frozen}. Nothing trains it.",
            f"Freeze '{part.name}' too.",
        )
    elif not sends_gradient(part, plan):
        yield warning(
            f"grad_factor is 0 in all that listen to '{part.name}'. Nothing trains it.",
            f"Raise it in one of them, or freeze '{part.name}'.",
        )
    elif frozen:
        yield warning(
            f"{frozen} are frozen, but '{part.name}', which they read, is not: they will see "
            "vectors other than those they know.",
            f"Freeze '{part.name}' too, or train {frozen} along.",
        )
    else:
        yield ok(f"'{part.name}' is trained by {[reader.name for reader in readers]}")


def sends_gradient(part: Part, plan: Plan) -> bool:
    """Whether a listener that learns sends a gradient to this component."""
    listeners = plan.find_listeners(part)
    return any(get_grad_factor(node) for reader, node in listeners if not reader.is_frozen)


def get_grad_factor(listener: Tok2VecListener) -> float:
    """The weight of its gradient. spaCy's own listeners have none, which means 1."""
    return float(vars(listener).get("grad_factor", 1.0))


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
        yield warning(
            f"'{part.name}' has a cache but is trained: its vectors change, so none is used.",
            f'Add "{part.name}" to training.frozen_components and annotating_components.',
        )


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
