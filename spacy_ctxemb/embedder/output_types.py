"""What may be wanted of an embedder, and what it makes."""

from typing import NamedTuple

from torch import Tensor


class Wanted(NamedTuple):
    """What is wanted besides token vectors.

    layers: those of the encoder. boundaries: the begin and the end of each sequence, all layers.
    doc_pooling: how vectors of texts are made, see text_pooling.py; None for no such vectors.
    normalize: whether these have length 1. pieces: their text and places. attention: its weights.
    states: of pieces and windows, in the last layer.
    """

    layers: bool = False
    boundaries: bool = False
    doc_pooling: str | None = None
    normalize: bool = False
    pieces: bool = False
    attention: bool = False
    states: bool = False


#: Token vectors and nothing else.
VECTORS = Wanted()


class Embedded(NamedTuple):
    """What an embedder makes of some windows; None for what was not wanted.

    vectors: (W, width), of the tokens. layers: (L, W, D). boundaries: (L, S, 2, D), of S sequences.
    documents: (n, width). sequences: (S, width). attention: (n_blocks, n_heads, T, T) of each
    window, in order. states: (P + 2 N, D), of the last layer: of each document the rows of its
    pieces, then the first and the last step of each of its windows.
    """

    vectors: Tensor
    layers: Tensor | None = None
    boundaries: Tensor | None = None
    documents: Tensor | None = None
    sequences: Tensor | None = None
    attention: list[Tensor] | None = None
    states: Tensor | None = None
