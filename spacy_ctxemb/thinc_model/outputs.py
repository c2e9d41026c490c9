"""What an encoder makes of Docs besides their token vectors."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from .. import doc_vectors
from .embedder_shim import EmbedderShim, Wanted
from .model import ContextualModel, cut_docs, get_shim, group_docs

Floats = NDArray[np.float32]


class Pooled(NamedTuple):
    """Vectors of a Doc and its S sentences.

    document: (width,). sentences: (S, width). starts: (S,), their first tokens. n_tokens: of the
    Doc as it was.
    """

    document: Floats
    sentences: Floats
    starts: list[int]
    n_tokens: int


class Outputs(NamedTuple):
    """What an encoder makes of one Doc, on the CPU; None for what was not wanted.

    tensor: (n_tokens, width), mixed and projected. layers: (L, n_tokens, D).
    boundaries: (L, S, 2, D), of each of the Doc's S sentences.
    attention: of each window; see doc_vectors.py.
    """

    tensor: Floats
    layers: Floats | None
    boundaries: Floats | None
    pooled: Pooled | None
    attention: list[dict[str, Any]] | None


def predict_outputs(model: ContextualModel, docs: Sequence[Doc], wanted: Wanted) -> list[Outputs]:
    """The token vectors of each Doc, and what else is wanted."""
    shim = get_shim(model)
    return [
        outputs
        for group in group_docs(shim, docs)
        for outputs in predict_group(shim, group, wanted)
    ]


def write_outputs(doc: Doc, outputs: Outputs) -> None:
    """Write what there is besides token vectors."""
    pooled = None if outputs.pooled is None else outputs.pooled._asdict()
    found = {
        doc_vectors.LAYERS: outputs.layers,
        doc_vectors.BOUNDARIES: outputs.boundaries,
        doc_vectors.POOLED: pooled,
        doc_vectors.ATTENTION: outputs.attention,
    }
    for name, value in found.items():
        if value is not None:
            doc._.set(name, value)


def predict_group(shim: EmbedderShim, docs: Sequence[Doc], wanted: Wanted) -> Iterator[Outputs]:
    """The same of documents that are encoded together."""
    keep_empty = wanted.boundaries or wanted.doc_pooling is not None
    cut = cut_docs(shim, docs, keep_empty=keep_empty)
    found = shim.predict_outputs(cut.windows, [len(s) for s in cut.sequence_starts], wanted)
    token_ends = np.cumsum([len(doc) for doc in docs])[:-1]
    sequence_ends = np.cumsum([len(starts) for starts in cut.sequence_starts])[:-1]
    nothing = [None] * len(docs)
    tensors = np.split(found.vectors, token_ends)
    layers = nothing if found.layers is None else np.split(found.layers, token_ends, axis=1)
    ends: Any = nothing
    if found.boundaries is not None:
        ends = np.split(found.boundaries, sequence_ends, axis=1)
    sentences: Any = nothing
    if found.sentences is not None:
        sentences = np.split(found.sentences, sequence_ends)
    for i, doc in enumerate(docs):
        pooled = None
        if found.documents is not None:
            pooled = Pooled(
                found.documents[i].copy(), sentences[i].copy(), cut.sequence_starts[i], len(doc)
            )
        yield Outputs(
            tensors[i].copy(),
            copy_array(layers[i]),
            copy_array(ends[i]),
            pooled,
            predict_attention(shim, doc) if wanted.attention else None,
        )


def predict_attention(shim: EmbedderShim, doc: Doc) -> list[dict[str, Any]]:
    """The attention weights of each window of a Doc, and the first piece it reads."""
    windows = cut_docs(shim, [doc], is_counted=False).windows
    weights = shim.predict_attention(windows)
    return [
        {"start": start, "weights": found}
        for start, found in zip(windows.spans[:, 0].tolist(), weights, strict=True)
    ]


def copy_array(array: Floats | None) -> Floats | None:
    """A view would keep the arrays of a whole batch alive."""
    return None if array is None else array.copy()
