"""Which weights encoders begin with, and which of them learn."""

from ..thinc_model.embedder_shim import EmbedderShim, find_shims
from .build_components import Part


def list_trained(part: Part) -> dict[str, EmbedderShim]:
    """The encoders of a component that learn, by name."""
    encoders = part.encoders if part.is_trained else {}
    return {name: shim for name, shim in encoders.items() if not keeps_all_layers(shim)}


def keeps_all_layers(shim: EmbedderShim) -> bool:
    """Whether `freeze_layers` leaves nothing of an encoder to learn."""
    encoder = shim.embedder.encoder
    frozen = shim.layer_training.list_always_frozen(encoder)
    return frozen == {name for name, _ in encoder.named_parameters()}


def find_weights(name: str, part: Part) -> str | None:
    """Say what gives an encoder trained weights; None for nothing. name: as in Part.encoders."""
    shim = part.encoders[name]
    if part.is_sourced:
        return "has the weights of the pipeline it comes from"
    if is_target(shim, part):
        return f"begins with the weights in {part.plan.initialize['init_tok2vec']}"
    if not part.is_frozen and find_loader("encoder_loader", name, part):
        return "begins with the weights that its encoder_loader reads"
    if shim.pretrained is not None:
        return f"begins with the weights that pretrained = '{shim.pretrained}' names"
    return None


def is_target(shim: EmbedderShim, part: Part) -> bool:
    """Whether `init_tok2vec` is for this encoder."""
    section = part.plan.config.get("pretraining") or {}
    layer = section.get("layer")
    if not part.plan.initialize.get("init_tok2vec") or section.get("component") != part.name:
        return False
    node = part.pipe.model.maybe_get_ref(layer) if layer else part.pipe.model
    return node is not None and shim in find_shims(node)


def find_loader(kind: str, name: str, part: Part) -> object:
    """The section of an encoder's "encoder_loader" or "pieces_loader"; None without one."""
    section = part.plan.initialize["components"].get(part.name, {})
    if name != part.name:
        member = name.removeprefix(f"{part.name}.")
        section = (section.get("member_loaders") or {}).get(member, {})
    return section.get(kind)
