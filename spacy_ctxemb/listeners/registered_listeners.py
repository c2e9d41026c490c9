"""Listeners as a config names them."""

from spacy.pipeline.tok2vec import Tok2VecListener

from .layer_mix_listener import LayerMixListener
from .listener import check_factor, guard
from .piece_states_listener import PieceStatesListener


def build_listener(*, width: int, upstream: str = "*", grad_factor: float = 1.0) -> Tok2VecListener:
    """`spacy-ctxemb.Listener.v1`: spaCy's Tok2VecListener, with a weight.

    width: of the vectors, ${components.ctxemb.model.encoder.width} unless these are projected.
    upstream: the name of the component `ctxemb`, or "*" for the one that comes before.
    grad_factor: of the gradient that this component sends to the encoder: its weight beside other
        components that train the same encoder; 0 if it is not to train it. For all components
        together a factor changes nothing under Adam, which is blind to the size of gradients: for
        that take learn_rate_factor of ContextualTok2Vec.v1. 0.1 to 10.
    """
    listener = Tok2VecListener(upstream, width)
    listener.name = "ctxemb-listener"
    guard(listener).grad_factor = check_factor(grad_factor)
    return listener


def build_layer_mix_listener(
    *, width: int, upstream: str = "*", layer_norm: str | None = None, grad_factor: float = 1.0
) -> LayerMixListener:
    """`spacy-ctxemb.LayerMixListener.v1`: each component mixes the encoder's layers its own way.

    width: of the encoder, ${components.ctxemb.model.encoder.width}.
    upstream: the name of the component `ctxemb`, or "*" for the one that comes before.
    layer_norm: "document" to normalise each layer over the tokens of a document; null for layers
        as they are.
    grad_factor: of the gradient for the encoder, not for the weights of the mix; see Listener.v1.
    """
    return LayerMixListener(upstream, width, layer_norm=layer_norm, grad_factor=grad_factor)


def build_piece_states_listener(
    *, width: int | None = None, upstream: str = "*", grad_factor: float = 1.0
) -> PieceStatesListener:
    """`spacy-ctxemb.PieceStatesListener.v1`: the encoder's last layer, for Head.v1.

    width: of the encoder; null to take it from the component before.
    upstream: the name of the component `ctxemb`, or "*" for the one that comes before.
    grad_factor: see Listener.v1.
    """
    return PieceStatesListener(upstream, width, grad_factor=grad_factor)
