"""Which components read from `ctxemb`, and when what they read may be dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener

from ..errors import Errors
from ..listeners.guarded import get_guard, guard, list_listeners
from ..listeners.layer_mix_listener import (
    LayerMixListener,
    replace_listener,
    replace_listener_config,
)
from ..stack.encoders import require_single
from ..thinc_model.embedder_shim import get_shim

if TYPE_CHECKING:
    from .contextual_embedder import ContextualEmbedder


def link_component(pipe: ContextualEmbedder, component: Any) -> None:
    """Link the listeners of a later component, and check that they fit.

    Raises E046 or E023 where two components write doc.tensor for the same readers, and E021,
    E075 or E071 for listeners of another shape.
    """
    name = getattr(component, "name", "")
    if isinstance(component, type(pipe)):
        pipe.later_writers.append(name)
    elif isinstance(component, Tok2Vec):
        raise ValueError(Errors.E046.format(other=name, name=pipe.name))
    for listener in list_listeners(component):
        upstream = listener.upstream_name
        if upstream in pipe.later_writers:
            continue
        is_own = upstream in ("*", pipe.name)
        if not is_own or pipe.later_writers:
            other = upstream if not is_own else pipe.later_writers[-1]
            raise ValueError(Errors.E023.format(other=other, name=pipe.name, reader=name))
        # An earlier tok2vec takes a listener to "*" for its own whenever spaCy links
        # components, and would wait in vain for its gradient.
        listener.upstream_name = pipe.name
        pipe.add_listener(listener, name)
        link_listener(pipe, listener, name)


def link_listener(pipe: ContextualEmbedder, listener: Tok2VecListener, component: str) -> None:
    """Let a listener know whom it reads from."""
    if isinstance(listener, LayerMixListener):
        advice = "Use spacy.Tok2VecListener.v1 or spacy-ctxemb.Listener.v1 there."
        require_single(pipe.model, pipe.name, f"The LayerMixListener of '{component}'", advice)
        encoder = get_shim(pipe.model).embedder.encoder
        listener.link(pipe.name, component, n_layers=encoder.n_layers, width=encoder.width)
        # Only now: with these, spaCy wants every listener of a component at model.tok2vec.
        pipe.model.attrs["replace_listener"] = replace_listener
        pipe.model.attrs["replace_listener_cfg"] = replace_listener_config
    else:
        width, found = pipe.model.get_dim("nO"), listener.get_dim("nO")
        if found != width:
            message = Errors.E021.format(
                component=component, found=found, name=pipe.name, width=width
            )
            raise ValueError(message)
        guard(listener, pipe.name, component)
    choose_last_readers(pipe)


def choose_last_readers(pipe: ContextualEmbedder) -> None:
    """Components are linked in their order: the last to read drops what is not to be kept."""
    for listeners, is_kept in (
        (pipe.vector_listeners, pipe.keep != "none"),
        (pipe.layer_listeners, pipe.keep == "layers"),
    ):
        guards = [get_guard(listener) for listener in listeners]
        for known in guards:
            is_last = known.component == guards[-1].component
            last = [g for g in guards if g.component == known.component]
            known.last_readers = len(last) if is_last and not is_kept else 0


def check_earlier(pipe: ContextualEmbedder, nlp: Language) -> None:
    """Raise E044 for a component that listens to this one but comes before it."""
    listened_to = {pipe.name, "*"}
    for name, component in nlp.pipeline[: nlp.pipe_names.index(pipe.name)]:
        if isinstance(component, Tok2Vec):
            listened_to.discard("*")  # that one is meant
        if any(node.upstream_name in listened_to for node in list_listeners(component)):
            raise ValueError(Errors.E044.format(component=name, upstream=pipe.name))
