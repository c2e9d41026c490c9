"""Which encoder of a pipeline, and which head, an export command writes."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from spacy.language import Language

    from ..checkpoints.bert.read_head import PublishedHead
    from ..encoders import Encoder
    from ..thinc_model.embedder_shim import EmbedderShim


class Exported(NamedTuple):
    """An encoder of pieces, and a head that reads its states."""

    shim: "EmbedderShim"
    head: "PublishedHead | None" = None


def choose_exported(nlp: "Language", component: str | None, head: str | None) -> Exported:
    """The head that is chosen, or the only one that fits, with the encoder that it reads.

    component: what has the encoder; None where there is one alone, or where the head says it.
    head: the component with the head; "none" for the encoder alone; None for the only one.
    Raises E361 and E363 where there is none or one has to be chosen, E386 for a head without
    weights, E397 where the encoder that is chosen is not that of the head.
    """
    from ..errors import Errors

    heads = {name: pipe for name, pipe in nlp.components if hasattr(pipe, "publish")}
    if head is None:
        head = choose_head(nlp, heads, component)
    if head == "none":
        return Exported(
            find_encoder(
                nlp, component, lambda x: x.n_characters is None, wanted="an encoder of pieces"
            )
        )
    if head not in heads:
        raise ValueError(Errors.E363.format(found=list(heads), chosen=head))
    published = heads[head].publish()
    if published is None:
        raise ValueError(Errors.E386.format(name=head))
    shim = find_read_encoder(nlp, heads[head])
    if not is_in(nlp, shim, component):
        own = name_encoder(nlp, shim)
        raise ValueError(Errors.E397.format(head=head, own=own, component=component))
    return Exported(shim, published)


def choose_head(nlp: "Language", heads: dict[str, Any], component: str | None) -> str:
    """The only head of the encoder that is chosen; "none" where no component has weights of one.

    Raises E363 where there are several, E397 where all heads are those of other encoders.
    """
    from ..errors import Errors

    trained = [name for name, pipe in heads.items() if pipe.publish() is not None]
    if not trained:
        return "none"
    shims = {name: find_read_encoder(nlp, heads[name]) for name in trained}
    found = [name for name, shim in shims.items() if is_in(nlp, shim, component)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(Errors.E363.format(found=found, chosen=None))
    own = name_encoder(nlp, shims[trained[0]])
    raise ValueError(Errors.E397.format(head=trained[0], own=own, component=component))


def find_read_encoder(nlp: "Language", pipe: Any) -> "EmbedderShim":
    """The encoder whose states a head reads. Raises E600 or E387 where there is none."""
    from ..component import ContextualEmbedder
    from ..errors import Errors
    from ..heads.asked_component import AskedPipe
    from ..heads.head_as_thinc_model import has_encoder
    from ..thinc_model.embedder_shim import get_shim

    if isinstance(pipe, AskedPipe):
        return pipe.shim
    (tok2vec,) = pipe.model.layers
    if has_encoder(tok2vec):
        return get_shim(tok2vec)
    embedders = [one for _, one in nlp.components if isinstance(one, ContextualEmbedder)]
    # spaCy does not link components that are disabled.
    linked = [one for one in embedders if any(node is tok2vec for node in one.listeners)]
    upstreams = linked or [one for one in embedders if one.name == tok2vec.upstream_name]
    if not upstreams:
        raise RuntimeError(Errors.E600.format(upstream=tok2vec.upstream_name))
    return get_shim(upstreams[0].model)


def name_encoder(nlp: "Language", shim: "EmbedderShim") -> str:
    """Its name in the pipeline; none where its component was removed."""
    from ..stack.name_encoders import list_encoders

    return next((name for name, one in list_encoders(nlp) if one is shim), "")


def is_in(nlp: "Language", shim: "EmbedderShim", component: str | None) -> bool:
    from ..stack.name_encoders import is_of

    return is_of(name_encoder(nlp, shim), component)


def find_encoder(
    nlp: "Language", component: str | None, fits: "Callable[[Encoder], bool]", *, wanted: str
) -> "EmbedderShim":
    """The one encoder of some kind in a pipeline, or in one of its components.

    fits: whether an encoder is of this kind. wanted: its name in the message.
    Raises E361 where there is none, or more than one.
    """
    from ..errors import Errors
    from ..stack.name_encoders import is_of, list_encoders

    found = [(name, shim) for name, shim in list_encoders(nlp) if fits(shim.embedder.encoder)]
    chosen = [shim for name, shim in found if is_of(name, component)]
    if len(chosen) != 1:
        names = [name for name, _ in found]
        message = Errors.E361.format(names=nlp.component_names, wanted=wanted, found=names)
        raise ValueError(message)
    return chosen[0]
