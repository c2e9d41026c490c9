"""Which components read from `ctxemb`, and when what they read may be dropped."""

from collections.abc import Iterator, Sequence
from typing import Any

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener

from ..errors import Errors
from ..listeners.layer_mix_listener import (
    LayerMixListener,
    replace_listener,
    replace_listener_config,
)
from ..listeners.listener import get_guard, guard, list_listeners
from ..stack.name_encoders import require_single
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import get_shim


def list_own_listeners(
    component: Any, name: str, later_writers: Sequence[str]
) -> Iterator[Tok2VecListener]:
    """The listeners in a later component that read from the component of this name.

    later_writers: components `ctxemb` between the two. Raises E022 for a listener to something
    else, or whose vectors one of these would overwrite.
    """
    reader = getattr(component, "name", "")
    for listener in list_listeners(component):
        upstream = listener.upstream_name
        if upstream in later_writers:
            continue
        is_own = upstream in ("*", name)
        if not is_own or later_writers:
            other = upstream if not is_own else later_writers[-1]
            raise ValueError(Errors.E022.format(other=other, name=name, reader=reader))
        yield listener


def link_listener(
    model: ContextualModel, listener: Tok2VecListener, upstream: str, component: str
) -> None:
    """Let a listener know whom it reads from, and for whom.

    model: of the upstream. Raises E044 for a LayerMixListener of a Stack, and E020, E032 or E029
    for listeners of another shape.
    """
    if isinstance(listener, LayerMixListener):
        advice = "Use spacy.Tok2VecListener.v1 or spacy-ctxemb.Listener.v1 there."
        require_single(model, upstream, f"The LayerMixListener of '{component}'", advice)
        encoder = get_shim(model).embedder.encoder
        listener.link(upstream, component, n_layers=encoder.n_layers, width=encoder.width)
        # Only now: with these, spaCy wants every listener of a component at model.tok2vec.
        model.attrs["replace_listener"] = replace_listener
        model.attrs["replace_listener_cfg"] = replace_listener_config
    else:
        width, found = model.get_dim("nO"), listener.get_dim("nO")
        if found != width:
            message = Errors.E020.format(
                component=component, found=found, name=upstream, width=width
            )
            raise ValueError(message)
        guard(listener, upstream, component)
    # An earlier tok2vec takes a listener to "*" for its own whenever spaCy links components, and
    # would wait in vain for its gradient.
    listener.upstream_name = upstream


def choose_last_readers(listeners: Sequence[Tok2VecListener], *, is_kept: bool) -> None:
    """Components are linked in their order: the last to read drops what is not to be kept."""
    guards = [get_guard(listener) for listener in listeners]
    for known in guards:
        is_last = known.component == guards[-1].component
        last = [one for one in guards if one.component == known.component]
        known.last_readers = len(last) if is_last and not is_kept else 0


def check_earlier(nlp: Language, upstream: str) -> None:
    """Raise E024 for a component that listens to a later one."""
    listened_to = {upstream, "*"}
    for name, component in nlp.pipeline[: nlp.pipe_names.index(upstream)]:
        if isinstance(component, Tok2Vec):
            listened_to.discard("*")  # that one is meant
        if any(node.upstream_name in listened_to for node in list_listeners(component)):
            raise ValueError(Errors.E024.format(component=name, upstream=upstream))
