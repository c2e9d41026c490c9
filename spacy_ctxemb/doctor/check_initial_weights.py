"""Which weights do encoders begin with?"""

from collections.abc import Iterator

from ..thinc_model.embedder_shim import EmbedderShim, find_shims
from .build_components import Part, Plan
from .check_what_learns import keeps_all_layers
from .findings import Finding, error, ok, warning


def check_weights(plan: Plan) -> Iterator[Finding]:
    """Check that every encoder has weights, or gets some."""
    for part in plan.embedders:
        for name, shim in part.encoders.items():
            yield check_encoder(name, shim, part, plan)


def check_encoder(name: str, shim: EmbedderShim, part: Part, plan: Plan) -> Finding:
    """Check one encoder. name: as in Part.encoders."""
    origin = find_weights(name, shim, part, plan)
    is_kept = not part.is_frozen and keeps_all_layers(shim)
    if origin is not None:
        return ok(f"'{name}' {origin}" + (", which freeze_layers keeps" if is_kept else ""))
    if part.is_frozen:
        return error(
            f"'{name}' is frozen, but nothing gives it weights: spaCy does not initialise what is "
            "frozen.",
            "Take it from a pipeline by `source`; or set initialize.init_tok2vec, and in "
            f'[pretraining] component = "{part.name}" and layer = "".',
        )
    return warning(
        f"'{name}' begins with random weights"
        + (", and freeze_layers keeps them all." if is_kept else "."),
        "Load weights by an encoder_loader or `source`, or pretrain: contextual vectors need much "
        "text.",
    )


def find_weights(name: str, shim: EmbedderShim, part: Part, plan: Plan) -> str | None:
    """Say what gives an encoder trained weights; None for nothing."""
    if part.is_sourced:
        return "has the weights of the pipeline it comes from"
    if is_target(shim, part, plan):
        return f"begins with the weights in {plan.initialize['init_tok2vec']}"
    if not part.is_frozen and find_loader("encoder_loader", name, part, plan):
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
    node = part.pipe.model.maybe_get_ref(layer) if layer else part.pipe.model
    return node is not None and shim in find_shims(node)


def find_loader(kind: str, name: str, part: Part, plan: Plan) -> object:
    """The section of an encoder's "encoder_loader" or "pieces_loader"; None without one."""
    section = plan.initialize["components"].get(part.name, {})
    if name != part.name:
        member = name.removeprefix(f"{part.name}.")
        section = (section.get("member_loaders") or {}).get(member, {})
    return section.get(kind)
