"""What learns, what does not, in which precision, and where weights come from."""

from collections.abc import Iterator
from pathlib import Path

import torch
from spacy.pipeline.tok2vec import Tok2VecListener

from ..encoders.kernels.linear import has_bf16_products
from ..thinc_model.embedder_shim import EmbedderShim
from ..thinc_model.model import find_shims
from .build_parts import Part, Plan
from .findings import Finding, error, ok, warning
from .who_reads_whom import find_upstream


def check_freezing(plan: Plan) -> Iterator[Finding]:
    """All components with encoders."""
    training, names = plan.training, [part.name for part in plan.parts]
    for key in ("frozen_components", "annotating_components"):
        unknown = [name for name in training[key] if name not in plan.config["nlp"]["pipeline"]]
        if unknown:
            advice = f"Correct the names; the pipeline has {names}."
            yield warning(f"training.{key} has {unknown}, which are not there.", advice)
    for part in plan.embedders:
        readers = find_readers(part, plan.parts)
        yield from check_annotating(part, readers)
        if part.is_frozen:
            yield from check_frozen(part, readers, plan)
        elif isinstance_embedder(part):
            yield from check_trained(part, readers)
            yield from check_cache(part, plan)
            yield from check_grad_factors(part, plan)
        yield from check_weights(part, plan)
        yield from check_training_precision(part, plan)


def isinstance_embedder(part: Part) -> bool:
    """Whether others may read from it."""
    return part.writes_tensor


def find_readers(part: Part, parts: list[Part]) -> list[Part]:
    """The components that read a component's vectors."""
    return [reader for reader, _ in find_listeners(part, parts)]


def find_listeners(part: Part, parts: list[Part]) -> list[tuple[Part, Tok2VecListener]]:
    """The listeners that read a component's vectors, each with its component."""
    return [
        (other, listener)
        for i, other in enumerate(parts)
        for listener in other.listeners
        if (j := find_upstream(listener.upstream_name, i, parts)) is not None and parts[j] is part
    ]


def check_annotating(part: Part, readers: list[Part]) -> Iterator[Finding]:
    """Whether those that annotate while others learn have vectors to read."""
    annotating = [reader.name for reader in readers if reader.annotates]
    if annotating and not part.annotates and not part.is_frozen:
        yield error(
            f"{annotating} annotate in training, but '{part.name}', which they read, does not, so "
            "they would have no vectors.",
            f'Add "{part.name}" to training.annotating_components.',
        )


def check_frozen(part: Part, readers: list[Part], plan: Plan) -> Iterator[Finding]:
    """One that keeps its weights."""
    learning = [reader.name for reader in readers if not reader.is_frozen]
    if learning and not part.annotates:
        yield error(
            f"'{part.name}' is frozen and does not annotate, so {learning} would have no vectors "
            "to learn from.",
            f'Add "{part.name}" to training.annotating_components.',
        )
    elif learning:
        yield ok(f"'{part.name}' is frozen and annotates for {learning}")


def check_trained(part: Part, readers: list[Part]) -> Iterator[Finding]:
    """One that learns from its readers."""
    if not readers:
        yield warning(
            f"No component listens to '{part.name}', so nothing trains it.",
            "Put a spacy.Tok2VecListener.v1 into the model of a component, or freeze it.",
        )
        return
    frozen = [reader.name for reader in readers if reader.is_frozen]
    if len(frozen) == len(readers):
        yield warning(
            f"All that listen to '{part.name}' are frozen: {frozen}. Nothing trains it.",
            f"Freeze '{part.name}' too.",
        )
    elif frozen:
        yield warning(
            f"{frozen} are frozen, but '{part.name}', which they read, is not: they will see "
            "vectors other than those they know.",
            f"Freeze '{part.name}' too, or train {frozen} along.",
        )
    else:
        yield ok(f"'{part.name}' is trained by {[reader.name for reader in readers]}")


def check_cache(part: Part, plan: Plan) -> Iterator[Finding]:
    """Whether one that learns has a cache."""
    callback = plan.initialize.get("before_init") or {}
    has_callback = callback.get("component") == part.name and "cache" in callback
    if has_callback or part.pipe.cache is not None:
        yield warning(
            f"'{part.name}' has a cache but is trained: its vectors change, so none is used.",
            f'Add "{part.name}" to training.frozen_components and annotating_components.',
        )


def check_grad_factors(part: Part, plan: Plan) -> Iterator[Finding]:
    """Whether any listener that learns sends a gradient."""
    listeners = [
        listener for reader, listener in find_listeners(part, plan.parts) if not reader.is_frozen
    ]
    if listeners and not any(map(get_grad_factor, listeners)):
        yield warning(
            f"grad_factor is 0 in all that listen to '{part.name}'. Nothing trains it.",
            f"Raise it in one of them, or freeze '{part.name}'.",
        )


def get_grad_factor(listener: Tok2VecListener) -> float:
    """The weight of its gradient; spaCy's own listeners have none."""
    return float(vars(listener).get("grad_factor", 1.0))


def list_trained(part: Part, plan: Plan) -> dict[str, EmbedderShim]:
    """The encoders of a component that learn, by their names."""
    if part.is_frozen:
        return {}
    if isinstance_embedder(part) and not any(
        get_grad_factor(listener)
        for reader, listener in find_listeners(part, plan.parts)
        if not reader.is_frozen
    ):
        return {}
    return {name: shim for name, shim in part.encoders.items() if not keeps_all_layers(shim)}


def keeps_all_layers(shim: EmbedderShim) -> bool:
    """Whether `freeze_layers` leaves nothing of an encoder to learn."""
    encoder = shim.embedder.encoder
    frozen = shim.layer_training.list_always_frozen(encoder)
    return frozen == {name for name, _ in encoder.named_parameters()}


def check_training_precision(part: Part, plan: Plan) -> Iterator[Finding]:
    """Whether bf16 is faster, where no GPU is seen: it is not on every CPU."""
    for name, shim in list_trained(part, plan).items():
        is_low = shim.embedder.training_precision == "bf16"
        if is_low and not torch.cuda.is_available() and not has_bf16_products():
            yield warning(
                f"training_precision of '{name}' is 'bf16', but PyTorch has no fast products in "
                "bf16 on this CPU, so that it is slower than 'fp32'.",
                "Set it to 'fp32', unless you train on another machine.",
            )


def check_weights(part: Part, plan: Plan) -> Iterator[Finding]:
    """Whether all encoders have weights, or get some."""
    path = plan.initialize.get("init_tok2vec")
    for name, shim in part.encoders.items():
        origin = find_weights(name, shim, part, plan)
        if is_target(shim, part, plan) and not part.is_sourced and not Path(str(path)).is_file():
            advice = "Correct paths.init_tok2vec, or run `spacy pretrain` first."
            yield error(f"There are no weights at {path} for '{name}'.", advice)
        elif origin is not None:
            kept = not part.is_frozen and keeps_all_layers(shim)
            yield ok(f"'{name}' {origin}" + (", which freeze_layers keeps" if kept else ""))
        elif part.is_frozen:
            yield error(
                f"'{name}' is frozen, but nothing gives it weights: spaCy does not initialise "
                "what is frozen.",
                "Take it from a pipeline by `source`; or set initialize.init_tok2vec, and in "
                f'[pretraining] component = "{part.name}" and layer = "".',
            )
        elif keeps_all_layers(shim):
            yield warning(
                f"'{name}' begins with random weights, and freeze_layers keeps them all.",
                "Lower freeze_layers, or give it weights: by an encoder_loader, or `source`.",
            )
        else:
            yield warning(
                f"'{name}' begins with random weights.",
                "Pretrain it, or import a published model: contextual vectors need much text.",
            )


def find_weights(name: str, shim: EmbedderShim, part: Part, plan: Plan) -> str | None:
    """What gives an encoder weights that have been trained; None for nothing.

    name: of the encoder, see Part.encoders.
    """
    if part.is_sourced:
        return "has the weights of the pipeline it comes from"
    if is_target(shim, part, plan):
        return f"begins with the weights in {plan.initialize['init_tok2vec']}"
    if has_loader(name, part, plan) and not part.is_frozen:
        return "begins with the weights that its encoder_loader reads"
    if shim.pretrained is not None:
        return f"begins with the weights {shim.pretrained} of the package"
    return None


def is_target(shim: EmbedderShim, part: Part, plan: Plan) -> bool:
    """Whether `init_tok2vec` is for this encoder."""
    section = plan.config.get("pretraining") or {}
    layer = section.get("layer")
    if not plan.initialize.get("init_tok2vec") or section.get("component") != part.name:
        return False
    node = part.model.maybe_get_ref(layer) if part.model and layer else part.model
    return node is not None and shim in find_shims(node)


def has_loader(name: str, part: Part, plan: Plan) -> bool:
    """Whether a published model is read when training starts, for an encoder of this name."""
    section = plan.initialize["components"].get(part.name, {})
    if name != part.name:
        member = name.removeprefix(f"{part.name}.")
        section = (section.get("member_loaders") or {}).get(member, {})
    return bool(section.get("encoder_loader"))
