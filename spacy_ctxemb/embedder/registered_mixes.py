"""Mixes of layers as a config names them."""

from collections.abc import Sequence
from functools import partial

from .layer_mix import BuildMix, ChosenLayer, ConcatLayers, LastLayers, ScalarMix, TokenMix


def build_scalar_mix(*, layer_norm: str | None = None) -> BuildMix:
    """`spacy-ctxemb.ScalarMix.v1`: learned softmax weights of all layers, times gamma.

    layer_norm: "document" to normalise each layer over a document; "batch" over all documents
        that are encoded in one call, as AllenNLP does; null for layers as they are.
    """
    return partial(ScalarMix, layer_norm=layer_norm)


def build_token_mix(*, layer_norm: str | None = None) -> BuildMix:
    """`spacy-ctxemb.TokenMix.v1`: as ScalarMix, after pooling.

    layer_norm: "document" to normalise each layer over the tokens of a document; null for layers
        as they are.
    """
    return partial(TokenMix, layer_norm=layer_norm)


def build_layer(*, layer: int = -1) -> BuildMix:
    """`spacy-ctxemb.Layer.v1`: one layer.

    layer: 0 for the context-free one, -1 for the last.
    """
    return partial(ChosenLayer, layer=layer)


def build_last_layers(*, n: int = 4) -> BuildMix:
    """`spacy-ctxemb.LastLayers.v1`: the average of the last n layers.

    n: from 1 to the number of the encoder's layers.
    """
    return partial(LastLayers, n=n)


def build_concat_layers(*, layers: Sequence[int] | None = None) -> BuildMix:
    """`spacy-ctxemb.ConcatLayers.v1`: layers side by side.

    layers: their numbers, in the order of the result; 0 for the context-free one, -1 for the
        last. Null for all.
    """
    return partial(ConcatLayers, layers=layers)
