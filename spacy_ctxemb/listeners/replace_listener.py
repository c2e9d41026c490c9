"""What `nlp.replace_listeners` puts in the place of listeners."""

import copy
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
    the component's tok2vec: a listener, or a Stack with listeners among its members."""
    listeners = [x for x in [listener, *listener.get("members", {}).values()] if "upstream" in x]
    kinds = {(x["@architectures"], x.get("layer_norm")) for x in listeners}
    if len(kinds) > 1:  # spaCy does not say which of them is meant
        raise ValueError(Errors.E033.format(kinds=sorted(kinds, key=str)))
    listener = listeners[0]
    if listener["@architectures"] != ARCHITECTURE:
        return model
    mix = {"@architectures": "spacy-ctxemb.TokenMix.v1", "layer_norm": listener.get("layer_norm")}
    return {**copy.deepcopy(model), "mix": mix, "width": None}
