"""The attention weights of Transformers, and the shares in which layers are mixed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc

from ..component import ContextualEmbedder
from ..embedder.layer_mix import LayerWeights
from ..embedder.output_types import Wanted
from ..errors import Errors
from ..stack.name_encoders import list_encoders
from ..thinc_model.docs_to_outputs import cut_docs, list_attention
from ..thinc_model.embedder_shim import EmbedderShim
from ..torch_state import in_ordinary_torch
from ..windows.docs_to_pieces import list_pieces

#: Pieces of a text up to which attention is shown unasked: a map has their number squared.
MAX_PIECES = 128


@dataclass(frozen=True)
class AttentionMap:
    """Attention in one window of a text.

    encoder: its name. pieces: T, those of the text, after "‹" and before "›", its boundaries.
    weights: (n_blocks, n_heads, T, T), from a piece, to a piece; each row adds up to 1.
    """

    encoder: str
    pieces: list[str]
    weights: NDArray[np.float32]


def map_attention(nlp: Language, doc: Doc, *, is_asked: bool) -> list[AttentionMap]:
    """A map for each window and each encoder that has attention.

    is_asked: else long texts get none. Raises E740 where it is asked and no encoder has any.
    """
    encoders = dict(list_encoders(nlp))
    able = {name: shim for name, shim in encoders.items() if shim.embedder.encoder.has_attention}
    if is_asked and not able:
        raise ValueError(Errors.E740.format(names=list(encoders)))
    longest = None if is_asked else MAX_PIECES
    return [one for name, shim in able.items() for one in read_attention(name, shim, doc, longest)]


@in_ordinary_torch
def read_attention(
    name: str, shim: EmbedderShim, doc: Doc, longest: int | None
) -> Iterator[AttentionMap]:
    shim.check_materialised()
    encoded, windows = cut_docs(shim, [doc])
    if longest is not None and windows.n_pieces > longest:
        return iter(())
    embedded = shim.predict(windows, Wanted(attention=True))
    (texts,), (maps,) = list_pieces(encoded, shim.pieces), list_attention(embedded, windows) or [[]]
    return (
        AttentionMap(name, ["‹", *texts["pieces"][start : start + size - 2], "›"], weights)
        for start, size, weights in (
            (one["start"], one["weights"].shape[-1], one["weights"]) for one in maps
        )
    )


def list_layer_weights(nlp: Language) -> dict[str, LayerWeights]:
    """What has been learned of layers, by the names of components and of those that listen."""
    return {
        name: weights
        for _, pipe in nlp.pipeline
        if isinstance(pipe, ContextualEmbedder)
        for name, weights in pipe.layer_weights().items()
    }
