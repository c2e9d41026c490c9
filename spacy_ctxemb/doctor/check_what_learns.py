"""What learns, from which weights, and what does not?"""

from collections.abc import Iterator

import torch

from ..embedder.layer_mix import ChosenLayer
from ..encoders.kernels.linear import has_bf16_products
from ..errors import Errors
from ..listeners.layer_mix_listener import LayerMixListener
from ..pretrained import is_published
from ..thinc_model.embedder_shim import EmbedderShim, find_shims
from .build_components import Part, Plan
from .findings import Finding, error, ok, warning

#: Factories of components that label tokens or spans, to which lower layers tell much.
LABEL_TOKENS = {"ner", "tagger", "morphologizer", "parser", "senter", "spancat"}


def check_learning(plan: Plan) -> Iterator[Finding]:
    """Check which components annotate, and what trains each encoder."""
    names = plan.config["nlp"]["pipeline"]
    unknown = [name for name in plan.training["annotating_components"] if name not in names]
    if unknown:
        advice = f"Correct the names; the pipeline has {names}."
        yield warning(f"training.annotating_components has {unknown}, which do not exist.", advice)
    for part in plan.embedders:
        yield from check_annotates(part)
        if part.is_embedder and not part.is_frozen:
            yield check_trained(part)
            yield from check_cache(part)
        yield from check_mix(part)
        yield from check_training_precision(part)


def check_annotates(part: Part) -> Iterator[Finding]:
    """In training, listeners of a frozen encoder and those that annotate read from Docs."""
    reading = [
        one.name
        for one in part.readers
        if one not in part.runners and (not one.is_frozen if part.is_frozen else one.annotates)
    ]
    if reading and not part.annotates:
        yield error(
            f"{reading} would have no vectors in training: '{part.name}', which they read, does "
            "not annotate.",
            f'Add "{part.name}" to training.annotating_components.',
        )
    elif reading and part.is_frozen:
        yield ok(f"'{part.name}' is frozen and annotates for {reading}")


def check_trained(part: Part) -> Finding:
    """An encoder that is not frozen learns from the gradients of its readers."""
    frozen = [reader.name for reader in part.readers if reader.is_frozen]
    if not part.is_trained:
        return warning(
            f"Nothing trains '{part.name}': no component that learns listens to it with a "
            "grad_factor above 0.",
            f"Freeze '{part.name}', or put a listener into a component that learns.",
        )
    if frozen:
        return warning(
            f"{frozen} are frozen, but '{part.name}', which they read, is not: they will see "
            "vectors other than those they know.",
            f"Freeze '{part.name}' too, or train {frozen} along.",
        )
    return ok(f"'{part.name}' is trained by {[reader.name for reader in part.readers]}")


def check_cache(part: Part) -> Iterator[Finding]:
    """A cache is of no use where the encoder learns."""
    callback = part.plan.initialize.get("before_init") or {}
    has_callback = callback.get("component") == part.name and "cache" in callback
    if has_callback or part.pipe.cache is not None:
        yield warning(Errors.W007.format(name=part.name))


def check_mix(part: Part) -> Iterator[Finding]:
    """The last layer of a Transformer knows less of words than those below, and a frozen one does
    not learn to know more."""
    if not part.is_embedder or list_trained(part):
        return
    is_single = {
        isinstance(shim.embedder.mix, ChosenLayer) and shim.embedder.encoder.has_attention
        for shim in part.encoders.values()
    }
    names = {
        reader.name: None
        for reader, node in part.linked
        if not isinstance(node, LayerMixListener) and reader.factory in LABEL_TOKENS
    }
    if is_single == {True} and names:
        yield warning(
            f"{list(names)} read one layer of the Transformer '{part.name}', which does not learn.",
            "Let them mix its layers: spacy-ctxemb.LayerMixListener.v1, or init-config "
            "--listener-mix.",
        )


def check_training_precision(part: Part) -> Iterator[Finding]:
    """bf16 is slower than fp32 on some CPUs."""
    for name, shim in list_trained(part).items():
        is_low = shim.embedder.training_precision == "bf16"
        if is_low and not torch.cuda.is_available() and not has_bf16_products():
            yield warning(
                f"training_precision of '{name}' is 'bf16', but PyTorch has no fast products in "
                "bf16 on this CPU, so that it is slower than 'fp32'.",
                "Set it to 'fp32', unless you train on another machine.",
            )


def check_weights(plan: Plan) -> Iterator[Finding]:
    """Check that every encoder has weights, or gets some."""
    for part in plan.embedders:
        for name, shim in part.encoders.items():
            origin = find_weights(name, part)
            is_kept = not part.is_frozen and keeps_all_layers(shim)
            if origin is not None:
                yield ok(f"'{name}' {origin}" + (", which freeze_layers keeps" if is_kept else ""))
            elif part.is_frozen:
                yield error(
                    f"'{name}' is frozen, but nothing gives it weights: spaCy does not initialise "
                    "what is frozen.",
                    "Take it from a pipeline by `source`; or set initialize.init_tok2vec, and in "
                    f'[pretraining] component = "{part.name}" and layer = "".',
                )
            else:
                yield warning(
                    f"'{name}' begins with random weights"
                    + (", and freeze_layers keeps them all." if is_kept else "."),
                    "Load weights by an encoder_loader or `source`, or pretrain: contextual "
                    "vectors need much text.",
                )


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
    pretrained, named = shim.pretrained, getattr(part.pipe, "pretrained", None)
    if is_published(named) and not part.is_frozen:
        pretrained = named
    if pretrained is not None:
        return f"begins with the weights that pretrained = '{pretrained}' names"
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
