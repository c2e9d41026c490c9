"""`spacy-ctxemb.ContextualTok2Vec.v1`: where spaCy's Doc, Thinc's Model and PyTorch meet.

An embedder and its pieces become a `Model[List[Doc], List[Floats2d]]`, so that spaCy's own
listeners, training, pretraining and serialisation work unchanged.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from spacy.tokens import Doc
from spacy.util import logger
from thinc.api import Model
from thinc.types import Floats2d

from ..embedder.embedder import Embedder
from ..embedder.layer_mix import BuildMix
from ..embedder.output_types import VECTORS
from ..encoders import Encoder
from ..errors import Errors
from ..finetuning.frozen_layers_and_rates import LayerTraining
from ..pieces.base import Pieces
from ..pieces.subwords import LearnedPieces
from ..schedules import Schedule, as_function
from ..torch_state import ordinary_torch
from ..windows.pieces_to_windows import N_BOUNDARIES, Windowing, check_length
from .docs_to_outputs import embed_docs, to_vectors
from .embedder_shim import EmbedderShim, get_shim, is_of_pretraining

ContextualModel = Model[list[Doc], list[Floats2d]]

#: Pieces of a window where the config does not say.
DEFAULT_WINDOW = 512

#: Pieces that windows share where the config does not say, if they are a quarter of a window at
#: most: so a piece has 32 others at least on either side, where there are so many.
DEFAULT_OVERLAP = 64

#: What each model was built of, as long as it is there.
ARGUMENTS: WeakKeyDictionary[ContextualModel, dict[str, Any]] = WeakKeyDictionary()


def build_contextual_tok2vec(
    *,
    encoder: Encoder,
    pieces: Pieces,
    mix: BuildMix,
    pooling: str = "mean",
    width: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    split_sentences: bool = True,
    batch_pieces: int = 4096,
    precision: str = "fp32",
    dropout: float | None = None,
    freeze_layers: int | Schedule = 0,
    layer_decay: float = 1.0,
    learn_rate_factor: float = 1.0,
    training_precision: str = "fp32",
    checkpoint_gradients: bool = False,
) -> ContextualModel:
    """`spacy-ctxemb.ContextualTok2Vec.v1`: contextual vectors of the tokens of each Doc.

    encoder: BiLM or Transformer.
    pieces: CharacterPieces for a BiLM; else WordPieces, BytePairPieces or SubwordPieces.
    mix: ScalarMix, Layer, LastLayers or ConcatLayers.
    pooling: "mean", "first", "last" or "max" of a token's pieces.
    width: of the vectors; a linear projection is learned where it differs from the mix's width.
        Null for the mix's width.
    window: the pieces that the encoder reads at once, at most, boundary pieces not counted. Null
        for 512, or what the encoder's max_length allows. 64 to 510.
    stride: pieces from the start of a window to that of the next, at most; smaller ones give each
        piece more context, and cost more. Null for the window less 64, or less a quarter of it if
        that is fewer.
    split_sentences: where a Doc has sentence boundaries, no window crosses them.
    batch_pieces: padded pieces of one pass through the encoder; bounds its memory.
    precision: of inference: "fp32"; "bf16", which is faster where the CPU computes in bf16
        (AVX-512 BF16, AMX) and changes vectors by some thousandths of their size; or, with a
        Transformer, "medium", with products in bf16 and all else in fp32, or "int8", with
        products in 8 bits, for CPUs with AVX-512 VNNI, not bf16; changes vectors by some
        hundredths.
    dropout: the encoder's rate; null to follow training.dropout.
    freeze_layers: the lowest layers that training leaves as they are: 1 for the context-free one,
        2 for the first block or LSTM layer too, the encoder's number of layers for all of it, so
        that only mix and projection learn. 0 for none. Or a schedule of this number, such as
        `spacy-ctxemb.unfreeze.v1`.
    layer_decay: the learning rate of a layer as a share of that of the layer above it. 0.8 to 1.0.
    learn_rate_factor: the learning rate of the encoder, not of mix and projection, as a share of
        that of the optimizer. It acts on the step, so that Adam, which is blind to the size of
        gradients, does not cancel it; to weigh components against each other take `grad_factor`
        of Listener.v1. 0.01 to 1.0.
        Pretraining trains all layers, and all alike.
    training_precision: "fp32"; "bf16", with products of the encoder in bf16 and all else in fp32,
        which is faster on a GPU, and on a CPU that computes in bf16 (AVX-512 BF16, AMX); or "fp16",
        on a GPU alone, with a scale of the loss that adapts itself.
    checkpoint_gradients: whether the backward pass computes inner values of the encoder again,
        block by block, in place of keeping them: less memory, a third more time.
    """
    arguments = dict(locals())
    check_fit(encoder, pieces)
    if window is None:
        longest = encoder.max_length
        window = min(DEFAULT_WINDOW, longest - N_BOUNDARIES) if longest else DEFAULT_WINDOW
    check_length(window, encoder.max_length)
    encoder.set_precision(precision)
    if dropout is not None:
        encoder.set_dropout(dropout)
    frozen = freeze_layers if isinstance(freeze_layers, int) else as_function(freeze_layers)
    layer_training = LayerTraining(frozen, layer_decay, learn_rate_factor)
    layer_training.check(encoder)
    with ordinary_torch(), torch.device("meta"):
        embedder = Embedder(
            encoder,
            mix,
            pooling=pooling,
            width=width,
            training_precision=training_precision,
            checkpoint_gradients=checkpoint_gradients,
        )
    windowing = Windowing(
        window=window,
        stride=stride or window - min(window // 4, DEFAULT_OVERLAP),
        batch_pieces=batch_pieces,
        max_padding=encoder.max_padding,
        keep_empty=embedder.wants_whole_calls,
        whole_sequences=encoder.stateful,
        split_sentences=split_sentences,
    )
    model = Tok2VecModel(
        "ctxemb",
        forward,
        init=init,
        dims={"nO": embedder.width},
        attrs={"dropout_rate": 0.0} if dropout is None else {},
        shims=[EmbedderShim(embedder, pieces, windowing, layer_training)],
    )
    ARGUMENTS[model] = arguments
    return model


def build_again(model: ContextualModel, **changes: Any) -> ContextualModel:
    """A model of the same settings but for some. model: as the builder above returned it."""
    return build_contextual_tok2vec(**{**ARGUMENTS[model], **changes})


def check_fit(encoder: Encoder, pieces: Pieces) -> None:
    """Raise E160 for pieces of another kind or number than the encoder's."""
    expected, found = ((one.n_ids, one.n_characters) for one in (encoder, pieces))
    if found != expected:
        raise ValueError(Errors.E160.format(encoder=expected, pieces=found))


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
    can_learn = isinstance(shim.pieces, LearnedPieces) and not shim.pieces.is_trained
    return can_learn and shim.pretrained is None


def train_pieces(shim: EmbedderShim, docs: Sequence[Doc]) -> None:
    if isinstance(shim.pieces, LearnedPieces):
        shim.pieces.train([doc.text] for doc in docs)


# A forked process inherits PyTorch's thread pool without its threads: the first parallel operation
# would wait for ever.
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
