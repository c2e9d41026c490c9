"""Where spaCy's Doc, Thinc's Model and PyTorch meet.

An embedder and its pieces become a `Model[List[Doc], List[Floats2d]]`, so that spaCy's own
listeners, training, pretraining and serialisation work unchanged.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.util import logger
from thinc.api import Model, xp2torch
from thinc.types import Floats2d, Floats3d, FloatsXd
from torch import Tensor

from ..embedder.embedder import Embedder
from ..errors import Errors
from ..finetuning.frozen_layers import LayerTraining
from ..pieces.base import Pieces
from ..pieces.subwords import BytePairPieces, WordPieces
from ..windows.cut import Windows, check_length
from ..windows.docs import DocWindowing, count, encode_docs
from .embedder_shim import EmbedderShim, is_of_pretraining
from .torch_shim import to_array

ContextualModel = Model[list[Doc], list[Floats2d]]

#: Tokens predicted together. Enough to fill batches with windows of similar length.
GROUP_TOKENS = 16384

#: Characters of a token of usual length, with the space after it.
CHARACTERS = 6


def use_one_thread() -> None:
    """A forked process inherits PyTorch's thread pool without its threads.

    The first parallel operation would wait for ever.
    """
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=use_one_thread)


class LayersUpdate(NamedTuple):
    """What an encoder makes of each Doc in training.

    vectors: (n_tokens, width). layers: (L, n_tokens, D).
    backprop: takes the gradients of both, None where there is none, and sends them back together.
    """

    vectors: list[Floats2d]
    layers: list[Floats3d]
    backprop: Callable[[list[Floats2d] | None, list[Floats3d] | None], None]


class Tok2VecModel(Model[list[Doc], list[Floats2d]]):
    """A Thinc model that says what is wrong with weights of another width."""

    def from_dict(self, msg: dict[str, Any]) -> "Tok2VecModel":
        (node, *others), (attrs, *other_attrs) = msg["nodes"], msg["attrs"]
        found, expected = node["dims"].get("nO"), self.get_dim("nO")
        # Of pretraining only the encoder is taken: mix and projection, and so the width, are the
        # task's own. So is whether the config has a rate of dropout.
        shims = msg["shims"][0]  # none, where something else was stored
        if found != expected and not (shims and is_of_pretraining(shims[0])):
            differences = f"width of the vectors: expected {expected}, found {found}"
            raise ValueError(Errors.E020.format(differences=differences))
        node = {**node, "dims": {**node["dims"], "nO": expected}}
        attrs = {name: value for name, value in attrs.items() if name in self.attrs}
        super().from_dict({**msg, "nodes": [node, *others], "attrs": [attrs, *other_attrs]})
        return self


def build_tok2vec(
    embedder: Embedder,
    pieces: Pieces,
    windowing: DocWindowing,
    *,
    layer_training: LayerTraining,
    dropout: float | None,
) -> ContextualModel:
    """Wrap an embedder as a Thinc model.

    layer_training: how the encoder's layers are trained.
    dropout: the encoder's rate; None to follow the rate that spaCy passes to each update.
    """
    encoder = embedder.encoder
    if (encoder.n_ids, encoder.n_characters) != (pieces.n_ids, pieces.n_characters):
        raise ValueError(
            Errors.E016.format(
                encoder=(encoder.n_ids, encoder.n_characters),
                pieces=(pieces.n_ids, pieces.n_characters),
            )
        )
    check_length(windowing.windowing.window, encoder.max_length)
    layer_training.check(encoder)
    if dropout is not None:
        encoder.set_dropout(dropout)
    return Tok2VecModel(
        "ctxemb",
        forward,
        init=init,
        dims={"nO": embedder.width},
        attrs={"dropout_rate": 0.0} if dropout is None else {},
        shims=[EmbedderShim(embedder, pieces, windowing, layer_training)],
    )


def get_shim(model: ContextualModel) -> EmbedderShim:
    """The shim that holds a model's embedder and pieces."""
    (shim,) = find_shims(model)
    return shim


def find_shims(model: Model[Any, Any]) -> list[EmbedderShim]:
    """The shims of all embedders in a model, however deep."""
    return [shim for node in model.walk() for shim in node.shims if isinstance(shim, EmbedderShim)]


def forward(
    model: ContextualModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Vectors of the tokens of each Doc: (n_tokens, width) each."""
    shim = get_shim(model)
    if not is_train:
        groups = (
            split_docs(to_array(shim.predict(cut_docs(shim, group).windows), model.ops), group)
            for group in group_docs(shim, docs)
        )
        return list(chain.from_iterable(groups)), lambda dY: []
    windows = cut_docs(shim, docs).windows
    set_encoder_dropout(model)
    vectors, backprop_vectors = shim.begin_update(windows)

    def backprop(d_vectors: list[Floats2d]) -> list[Doc]:
        if docs:
            backprop_vectors(xp2torch(model.ops.flatten(d_vectors), device=shim.device))
        return []

    return split_docs(to_array(vectors, model.ops), docs), backprop


def begin_update_layers(model: ContextualModel, docs: list[Doc]) -> LayersUpdate:
    """As `forward` in training, and all layers of each Doc besides."""
    shim = get_shim(model)
    windows = cut_docs(shim, docs).windows
    set_encoder_dropout(model)
    vectors, layers, backprop_both = shim.begin_update_layers(windows)

    def backprop(d_vectors: list[Floats2d] | None, d_layers: list[Floats3d] | None) -> None:
        if docs:
            backprop_both(
                None if d_vectors is None else join(d_vectors, axis=0, device=shim.device),
                None if d_layers is None else join(d_layers, axis=1, device=shim.device),
            )

    by_doc = split_layers(cast(Floats3d, to_array(layers, model.ops)), docs)
    return LayersUpdate(split_docs(to_array(vectors, model.ops), docs), by_doc, backprop)


def init(
    model: ContextualModel, X: list[Doc] | None = None, Y: list[Floats2d] | None = None
) -> None:
    """Give parameters their initial values, and pieces a vocabulary, where they have none.

    spaCy may call this several times, and also after weights were loaded.
    """
    shim = get_shim(model)
    if needs_vocabulary(shim) and X:
        # An encoder inside another component sees no more than these.
        train_pieces(shim, X)
        shim.pieces_from_sample = True
        logger.warning(Errors.W001.format(n_docs=len(X)))
    shim.materialise()


def group_docs(shim: EmbedderShim, docs: Sequence[Doc]) -> Iterator[list[Doc]]:
    """Documents to encode together: Docs of up to GROUP_TOKENS, so that memory is bounded.

    A long token counts as several: it may have as many pieces.
    """
    if shim.embedder.wants_whole_calls:
        yield list(docs)
        return
    group: list[Doc] = []
    n_tokens = 0
    for doc in docs:
        n_characters = doc[-1].idx + len(doc[-1]) if len(doc) else 0
        size = max(len(doc), n_characters // CHARACTERS)
        if group and n_tokens + size > GROUP_TOKENS:
            yield group
            group, n_tokens = [], 0
        group.append(doc)
        n_tokens += size
    if group:
        yield group


class Cut(NamedTuple):
    """Windows of documents, and the first tokens of each document's sequences."""

    windows: Windows
    sequence_starts: list[list[int]]


def cut_docs(
    shim: EmbedderShim, docs: Sequence[Doc], *, keep_empty: bool = False, is_counted: bool = True
) -> Cut:
    """Cut documents into windows.

    keep_empty: whether sequences without pieces get windows in any case.
    is_counted: whether to count what goes into them.
    """
    pieces, windowing = shim.pieces, shim.windowing.windowing
    if keep_empty:
        windowing = replace(windowing, keep_empty=True)
    encoded = encode_docs(docs, pieces, split_sentences=shim.windowing.split_sentences)
    windows = encoded.cut(encoded.pieces.ids, pieces.boundaries, windowing)
    if is_counted:
        shim.counts.update(count(docs, encoded, pieces, windows))
    return Cut(windows, encoded.sequence_starts)


def split_docs(vectors: Floats2d, docs: Sequence[Doc]) -> list[Floats2d]:
    """Rows of each Doc. Copies: a view would keep the whole batch alive with one Doc."""
    ends = np.cumsum([len(doc) for doc in docs]).tolist()
    return [vectors[end - len(doc) : end].copy() for end, doc in zip(ends, docs, strict=True)]


def split_layers(layers: Floats3d, docs: Sequence[Doc]) -> list[Floats3d]:
    """Columns of each Doc, as views. (L, W, D) to (L, n_tokens, D) each."""
    ends = np.cumsum([len(doc) for doc in docs]).tolist()
    return [layers[:, end - len(doc) : end] for end, doc in zip(ends, docs, strict=True)]


def join(arrays: Sequence[FloatsXd], *, axis: int, device: torch.device) -> Tensor:
    """Arrays of several Docs, at least one, as one tensor of its own."""
    return torch.cat([xp2torch(array, device=device) for array in arrays], dim=axis)


def set_encoder_dropout(model: ContextualModel) -> None:
    """Use the rate that spaCy has set, unless the config fixes it."""
    if "dropout_rate" in model.attrs:
        get_shim(model).embedder.encoder.set_dropout(model.attrs["dropout_rate"])


def needs_vocabulary(shim: EmbedderShim) -> bool:
    """Whether the pieces have no vocabulary, and can learn one."""
    pieces = shim.pieces
    return isinstance(pieces, WordPieces | BytePairPieces) and not pieces.is_trained


def train_pieces(shim: EmbedderShim, docs: Sequence[Doc]) -> None:
    """Learn a vocabulary of pieces from documents."""
    if isinstance(shim.pieces, WordPieces | BytePairPieces):
        shim.pieces.train([doc.text] for doc in docs)
