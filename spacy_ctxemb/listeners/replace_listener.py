"""What `nlp.replace_listeners` puts in the place of listeners."""

import copy
from collections.abc import Iterator
from typing import Any

from spacy.pipeline.tok2vec import Tok2VecListener

from ..errors import Errors
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import get_shim
from .layer_mix_listener import LayerMixListener

ARCHITECTURE = "spacy-ctxemb.LayerMixListener.v1"


def replace_listener(
    model: ContextualModel, listener: Tok2VecListener, upstream: Any
) -> ContextualModel:
    """A copy of the upstream's model, which then mixes as the listener does."""
    if isinstance(listener, LayerMixListener):
        get_shim(model).embedder.take_mix(copy.deepcopy(listener.mix))
        model.set_dim("nO", listener.get_dim("nO"), force=True)
    return model


def replace_listener_config(model: dict[str, Any], listener: dict[str, Any]) -> dict[str, Any]:
    """The config of what `replace_listener` returns, from those of the upstream's model and of
    the component's tok2vec: a listener, or what has listeners in it."""
    listeners = list(find_listeners(listener))
    kinds = {(x["@architectures"], x.get("layer_norm")) for x in listeners}
    if len(kinds) > 1:  # spaCy does not say which of them is meant
        raise ValueError(Errors.E033.format(kinds=sorted(kinds, key=str)))
    listener = listeners[0]
    if listener["@architectures"] != ARCHITECTURE:
        return model
    mix = {"@architectures": "spacy-ctxemb.TokenMix.v1", "layer_norm": listener.get("layer_norm")}
    return {**copy.deepcopy(model), "mix": mix, "width": None}


def find_listeners(section: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The sections of listeners in a section, such as a Stack's members, or itself."""
    if "upstream" in section:
        yield section
        return
    for value in section.values():
        if isinstance(value, dict):
            yield from find_listeners(value)
