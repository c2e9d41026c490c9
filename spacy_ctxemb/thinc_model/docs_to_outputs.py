"""The one way from Docs to what an encoder makes of them, in prediction and in training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d, Floats3d
from torch import Tensor

from ..embedder.memory_budget import Budget
from ..embedder.output_types import Embedded, Wanted
from ..torch_state import in_ordinary_torch
from ..windows.docs_to_pieces import DocPieces, count, encode_docs, list_pieces
from ..windows.pieces_to_windows import Windows
from ..windows.segments import cut_segments
from .arrays_and_tensors import join, split, split_vectors, to_array
from .embedder_shim import EmbedderShim, get_shim
from .piece_states import list_states

#: Tokens predicted together. Enough to fill batches with windows of similar length.
GROUP_TOKENS = 16384

#: Characters of a token of usual length, with the space after it.
CHARACTERS = 6

#: Takes gradients by what they are of, "vectors", "layers" or "states": one array a Doc.
Backprop = Callable[[Mapping[str, list[Any]]], None]

#: The axes along which those of several Docs are joined.
AXES = {"vectors": 0, "layers": 1, "states": 0}


@dataclass
class Outputs:
    """What an encoder makes of one Doc; None for what was not wanted.

    vectors: (n_tokens, width), mixed and projected. layers: (L, n_tokens, D).
    boundaries: (L, S, 2, D), of each of the Doc's S sentences.
    pooled, pieces, attention, states: as doc_vectors/names.py has them. All but vectors, and in
    training layers and the rows of states, are on the CPU.
    """

    vectors: Floats2d
    layers: Floats3d | None = None
    boundaries: NDArray[np.float32] | None = None
    pooled: dict[str, Any] | None = None
    pieces: dict[str, Any] | None = None
    attention: list[dict[str, Any]] | None = None
    states: dict[str, Any] | None = None


@in_ordinary_torch
def embed_docs(
    model: Model[Any, Any], docs: Sequence[Doc], wanted: Wanted, *, is_train: bool
) -> tuple[list[Outputs], Backprop]:
    """Run the tokenizer once and the encoder once.

    model: of one encoder. Returns what is wanted of each Doc, and in training a callback for the
    gradients of vectors, layers and states.
    """
    shim, ops = get_shim(model), model.ops
    if not docs:
        return [], forget
    if not is_train:
        budget = shim.find_budget(GROUP_TOKENS, wanted)
        groups = group_docs(shim, docs, budget.tokens)
        found = (predict_group(shim, group, wanted, budget, ops) for group in groups)
        return [one for group in found for one in group], forget
    set_encoder_dropout(model)
    encoded, windows = cut_docs(shim, docs, keep_empty=wanted.states)
    embedded, backprop_rows = shim.begin_update(windows, wanted)

    @in_ordinary_torch
    def backprop(gradients: Mapping[str, list[Any]]) -> None:
        backprop_rows(
            {n: join(some, axis=AXES[n], device=shim.device) for n, some in gradients.items()}
        )

    outputs = [Outputs(vectors) for vectors in split_vectors(embedded.vectors, docs, ops)]
    if embedded.layers is not None:
        layers = split(to_array(embedded.layers, ops), [len(doc) for doc in docs], axis=1)
        for output, one in zip(outputs, layers, strict=True):
            output.layers = one
    if embedded.states is not None:
        states = list_states(to_array(embedded.states, ops), encoded, windows)
        for output, state in zip(outputs, states, strict=True):
            output.states = state
    return outputs, backprop


def set_encoder_dropout(model: Model[Any, Any]) -> None:
    """Use the rate that spaCy has set, unless the config fixes it."""
    if "dropout_rate" in model.attrs:
        get_shim(model).embedder.encoder.set_dropout(model.attrs["dropout_rate"])


def forget(gradients: Mapping[str, list[Any]]) -> None:
    """What prediction does with gradients: nothing."""


def to_vectors(
    outputs: Sequence[Outputs], backprop: Backprop
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Token vectors alone, and the callback for their gradients, as a Thinc model returns them."""

    def backprop_vectors(d_vectors: list[Floats2d]) -> list[Doc]:
        backprop({"vectors": d_vectors})
        return []

    return [one.vectors for one in outputs], backprop_vectors


def group_docs(shim: EmbedderShim, docs: Sequence[Doc], max_tokens: int) -> Iterator[list[Doc]]:
    """Documents to encode together: Docs of up to max_tokens, so that memory is bounded."""
    if shim.embedder.wants_whole_calls:
        yield list(docs)
        return
    group: list[Doc] = []
    n_tokens = 0
    for doc in docs:
        size = measure(doc)
        if group and n_tokens + size > max_tokens:
            yield group
            group, n_tokens = [], 0
        group.append(doc)
        n_tokens += size
    if group:
        yield group


def measure(doc: Doc) -> int:
    """Tokens of a Doc. A long one counts as several: it may have as many pieces."""
    n_characters = doc[-1].idx + len(doc[-1]) if len(doc) else 0
    return max(len(doc), n_characters // CHARACTERS)


def cut_docs(
    shim: EmbedderShim,
    docs: Sequence[Doc],
    *,
    keep_empty: bool = False,
    batch_pieces: int | None = None,
) -> tuple[DocPieces, Windows]:
    """Cut documents into windows, and count what goes into them.

    keep_empty: whether sequences without pieces get windows in any case.
    batch_pieces: padded pieces in prediction's batches; None in training.
    """
    shim.take_pretrained()  # before the pieces are used
    windowing, at_once = shim.windowing, 1
    windowing = replace(windowing, keep_empty=keep_empty or windowing.keep_empty)
    if batch_pieces is not None:
        windowing = replace(windowing, batch_pieces=batch_pieces)
        at_once = shim.embedder.count_batch_threads()
    encoded = encode_docs(docs, shim.pieces, split_sentences=windowing.split_sentences)
    windows = encoded.cut(encoded.pieces.ids, shim.pieces.boundaries, windowing, at_once)
    shim.counts.update(count(docs, encoded, shim.pieces, len(windows.owned)))
    return encoded, windows


def predict_group(
    shim: EmbedderShim, docs: Sequence[Doc], wanted: Wanted, budget: Budget, ops: Ops
) -> list[Outputs]:
    """Outputs of Docs that are encoded together, at least one."""
    needs_windows = wanted.boundaries or wanted.doc_pooling is not None or wanted.states
    if measure(docs[0]) > budget.tokens and shim.embedder.works_in_segments(wanted):
        return [predict_long(shim, docs[0], wanted, budget, ops)]
    encoded, windows = cut_docs(shim, docs, keep_empty=needs_windows, batch_pieces=budget.pieces)
    embedded = shim.predict(windows, wanted)
    vectors = (  # without a copy of one Doc, which may be very long
        [to_array(embedded.vectors, ops)]
        if len(docs) == 1
        else split_vectors(embedded.vectors, docs, ops)
    )
    fields = (
        vectors,
        split_columns(embedded.layers, [len(doc) for doc in docs]),
        split_columns(embedded.boundaries, encoded.n_sequences),
        list_pooled(embedded, docs, encoded),
        list_pieces(encoded, shim.pieces) if wanted.pieces else None,
        list_attention(embedded, windows),
        None
        if embedded.states is None
        else list_states(embedded.states.cpu().numpy(), encoded, windows),
    )
    nothing = [None] * len(docs)
    return [Outputs(*parts) for parts in zip(*(field or nothing for field in fields), strict=True)]


def predict_long(shim: EmbedderShim, doc: Doc, wanted: Wanted, budget: Budget, ops: Ops) -> Outputs:
    """Outputs of a long Doc, whose pieces are not all held at once."""
    shim.take_pretrained()
    windowing = replace(shim.windowing, batch_pieces=budget.pieces)
    encoded = encode_docs([doc], shim.pieces, split_sentences=windowing.split_sentences)
    vectors = ops.alloc2f(len(doc), shim.embedder.width)
    cut_by = encoded.sequence_lengths, shim.pieces.boundaries, windowing, budget.tokens
    n_windows, at_once = 0, shim.embedder.count_batch_threads()
    for tokens, windows in cut_segments(encoded.pieces, *cut_by, at_once):
        vectors[tokens] = to_array(shim.predict(windows).vectors, ops)
        n_windows += len(windows.owned)
    shim.counts.update(count([doc], encoded, shim.pieces, n_windows))
    pieces = list_pieces(encoded, shim.pieces)[0] if wanted.pieces else None
    return Outputs(vectors, pieces=pieces)


def split_columns(array: Tensor | None, sizes: list[int]) -> list[Any] | None:
    """Stretches of the second axis. Copies: a view would keep the whole batch alive."""
    if array is None:
        return None
    return [part.copy() for part in split(array.cpu().numpy(), sizes, axis=1)]


def list_pooled(
    embedded: Embedded, docs: Sequence[Doc], encoded: DocPieces
) -> list[dict[str, Any]] | None:
    """The vectors of each Doc and of its sentences."""
    if embedded.documents is None or embedded.sequences is None:
        return None
    documents, sentences = embedded.documents.cpu().numpy(), embedded.sequences.cpu().numpy()
    by_doc = zip(documents, split(sentences, encoded.n_sequences, axis=0), strict=True)
    return [
        {"document": one.copy(), "sentences": some.copy(), "starts": starts, "n_tokens": len(doc)}
        for (one, some), starts, doc in zip(by_doc, encoded.sequence_starts, docs, strict=True)
    ]


def list_attention(embedded: Embedded, windows: Windows) -> list[list[dict[str, Any]]] | None:
    """The attention weights of each Doc's windows, and the first of its pieces that each reads."""
    if embedded.attention is None:
        return None
    sizes, owners = windows.document_lengths, windows.documents
    first = windows.first_pieces - (sizes.cumsum(0) - sizes)[owners]  # (N,)
    of_docs: list[list[dict[str, Any]]] = [[] for _ in sizes]
    found = zip(owners.tolist(), first.tolist(), embedded.attention, strict=True)
    for owner, start, weights in found:
        of_docs[owner].append({"start": start, "weights": weights.numpy()})
    return of_docs
