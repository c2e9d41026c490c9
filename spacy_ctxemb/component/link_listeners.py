"""Which components read from `ctxemb`, and when what they read may be dropped.

A listener reads doc.tensor, which is what the last component before it has written. So it can
belong to that one alone, whatever name it has in the config; names only say what was meant.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener
from spacy.util import logger

from ..errors import Errors
from ..listeners.guard import Guard
from ..listeners.layer_mix_listener import LayerMixListener
from ..listeners.listener import guard, list_listeners
from ..listeners.piece_states_listener import PieceStatesListener
from ..listeners.replace_listener import replace_listener, replace_listener_config
from ..stack.name_encoders import require_single
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import get_shim

#: Names in the config of listeners that read from a component of another name, by their component.
FormerNames = dict[str, list[str]]


def list_own_listeners(
    component: Any,
    name: str,
    former_names: FormerNames,
    later_writers: Sequence[str],
    *,
    sender: int,
    is_ready: bool,
) -> Iterator[Tok2VecListener]:
    """The listeners in a later component that read from the component of this name.

    sender: the id of this one's model.
    is_ready: whether this one has its weights, so that nothing more is to be loaded.
    former_names: brought up to date. later_writers: components `ctxemb` between the two.
    Raises E022 for a listener that means this one, but would read what a later one writes. Where
    former names may still be loaded that say otherwise, that is an obstacle from then on, as E034
    for what means none of them.
    """
    reader = getattr(component, "name", "")
    for listener in list_listeners(component):
        known = guard(listener)
        if later_writers:
            if known.wanted != "*" and listener.upstream_name == name:
                message = describe_conflict(later_writers[-1], name, reader)
                if known.is_linked or is_ready:
                    raise ValueError(message)
                known.component, known.obstacle = reader, message
            continue
        is_meant = known.wanted in ("*", name, *former_names.get(reader, ()))
        if not (is_meant or known.is_linked):
            known.component = reader
            if known.obstacle != describe_conflict(name, known.wanted, reader):
                names = {"reader": reader, "upstream": known.wanted, "name": name}
                known.obstacle = Errors.E034.format(**names)
            continue
        if known.wanted not in ("*", name):
            is_new = known.last_sender != sender
            follow(known, name, former_names.setdefault(reader, []), reader, is_new=is_new)
        yield listener


def is_refused(component: Any) -> bool:
    """Whether a listener of a component has an obstacle."""
    return any(guard(listener).obstacle for listener in list_listeners(component))


def describe_conflict(other: str, name: str, reader: str) -> str:
    """What is wrong with a reader of one component behind another that writes doc.tensor too."""
    return Errors.E022.format(other=other, name=name, reader=reader)


def follow(known: Guard, name: str, former_names: list[str], reader: str, *, is_new: bool) -> None:
    """Let a listener read from a component that has another name than its config says: one of the
    two was renamed, or comes from another pipeline.

    is_new: whether it has read from another model until now, for which W013 is.
    """
    if known.wanted in former_names:
        return
    former_names.append(known.wanted)
    if is_new:
        logger.warning(Errors.W013.format(reader=reader, upstream=known.wanted, name=name))


def link_listener(
    model: ContextualModel, listener: Tok2VecListener, upstream: str, component: str
) -> None:
    """Let a listener know whom it reads from, and for whom.

    model: of the upstream. Raises E044 for a LayerMixListener or a PieceStatesListener of a Stack,
    and E020, E032, E029 or E601 for listeners of another shape.
    """
    if isinstance(listener, LayerMixListener | PieceStatesListener):
        advice = "Use spacy.Tok2VecListener.v1 or spacy-ctxemb.Listener.v1 there."
        advice += f" Remove '{component}' before you add it again: nlp.remove_pipe('{component}')."
        require_single(model, upstream, f"The {type(listener).__name__} of '{component}'", advice)
        listener.fit_encoder(upstream, component, get_shim(model).embedder.encoder)
        # Only now: with these, spaCy wants every listener of a component at model.tok2vec.
        model.attrs["replace_listener"] = replace_listener
        model.attrs["replace_listener_cfg"] = replace_listener_config
    else:
        width, found = model.get_dim("nO"), listener.get_dim("nO")
        if found != width:
            names = {"component": component, "name": upstream}
            raise ValueError(Errors.E020.format(found=found, width=width, **names))
    known = guard(listener)
    known.upstream, known.component, known.sample = upstream, component, []
    known.sender = known.last_sender = model.id
    known.obstacle = ""
    # An earlier tok2vec takes a listener to "*" for its own whenever spaCy links components, and
    # would wait in vain for its gradient.
    listener.upstream_name = upstream


def choose_last_readers(listeners: Sequence[Tok2VecListener], *, is_kept: bool) -> None:
    """Components are linked in their order: the last to read drops what is not to be kept."""
    guards = [guard(listener) for listener in listeners]
    for known in guards:
        is_last = known.component == guards[-1].component
        last = [one for one in guards if one.component == known.component]
        known.last_readers = len(last) if is_last and not is_kept else 0


def check_links(nlp: Language, upstream: str) -> None:
    """Raise E024 for a component that listens to a later one, and what linking has found wrong
    with the listeners of later ones."""
    place = nlp.pipe_names.index(upstream)
    listened_to = {upstream, "*"}
    for name, component in nlp.pipeline[:place]:
        if isinstance(component, Tok2Vec):
            listened_to.discard("*")  # that one is meant
        if any(node.upstream_name in listened_to for node in list_listeners(component)):
            raise ValueError(Errors.E024.format(component=name, upstream=upstream))
    for _, component in nlp.pipeline[place:]:
        for node in list_listeners(component):
            guard(node).check()
