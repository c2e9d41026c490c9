"""Where spaCy's Doc, Thinc's Model and PyTorch meet.

An embedder and its pieces become a `Model[List[Doc], List[Floats2d]]`, so that spaCy's own
listeners, training, pretraining and serialisation work unchanged.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from spacy.tokens import Doc
from spacy.util import logger
from thinc.api import Model
from thinc.types import Floats2d

from ..embedder.embedder import Embedder
from ..embedder.output_types import VECTORS
from ..errors import Errors
from ..finetuning.frozen_layers_and_rates import LayerTraining
from ..pieces.base import Pieces
from ..pieces.subwords import BytePairPieces, WordPieces
from ..windows.pieces_to_windows import Windowing, check_length
from .docs_to_outputs import embed_docs, to_vectors
from .embedder_shim import EmbedderShim, get_shim, is_of_pretraining

ContextualModel = Model[list[Doc], list[Floats2d]]


def use_one_thread() -> None:
    """A forked process inherits PyTorch's thread pool without its threads.

    The first parallel operation would wait for ever.
    """
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=use_one_thread)


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
            raise ValueError(Errors.E162.format(differences=differences))
        node = {**node, "dims": {**node["dims"], "nO": expected}}
        attrs = {name: value for name, value in attrs.items() if name in self.attrs}
        super().from_dict({**msg, "nodes": [node, *others], "attrs": [attrs, *other_attrs]})
        return self


def build_tok2vec(
    embedder: Embedder,
    pieces: Pieces,
    windowing: Windowing,
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
            Errors.E160.format(
                encoder=(encoder.n_ids, encoder.n_characters),
                pieces=(pieces.n_ids, pieces.n_characters),
            )
        )
    check_length(windowing.window, encoder.max_length)
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


def forward(
    model: ContextualModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Vectors of the tokens of each Doc: (n_tokens, width) each."""
    return to_vectors(*embed_docs(model, docs, VECTORS, is_train=is_train))


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


def needs_vocabulary(shim: EmbedderShim) -> bool:
    """Whether the pieces have no vocabulary, are given none with weights, and can learn one."""
    pieces = shim.pieces
    can_learn = isinstance(pieces, WordPieces | BytePairPieces) and not pieces.is_trained
    return can_learn and shim.pretrained is None


def train_pieces(shim: EmbedderShim, docs: Sequence[Doc]) -> None:
    """Learn a vocabulary of pieces from documents."""
    if isinstance(shim.pieces, WordPieces | BytePairPieces):
        shim.pieces.train([doc.text] for doc in docs)
