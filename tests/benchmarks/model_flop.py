"""Floating-point operations of a step of pretraining, from the architecture.

Products of matrices alone are counted, two operations for each multiplication; the backward pass
has twice as many as the forward pass.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from spacy_ctxemb.encoders import BiLM, TransformerEncoder
from spacy_ctxemb.encoders.char_cnn import CharacterCNN, Highway, find_lengths
from spacy_ctxemb.encoders.lstm import LSTM
from spacy_ctxemb.objectives import BiLMObjective
from spacy_ctxemb.objectives.base import NO_TARGET
from spacy_ctxemb.objectives.bilm_loss import log_expected_count
from spacy_ctxemb.pretraining.tasks.base import Batch

#: Widths before and after a product.
Shape = tuple[int, int]

#: Forward and backward, as multiples of forward.
TRAINING = 3


def count_bilm(encoder: BiLM, objective: BiLMObjective, batch: Batch) -> float:
    """Of one step. Convolutions are counted at the characters that words have, of the distinct
    words of the batch, and the sampled softmax with as many words as are expected."""
    n_steps = batch["words"].numel() // 2  # of each direction
    recurrent = 2 * n_steps * count_weights(list_bilm_shapes(encoder))
    words = count_words(encoder.token_encoder, batch["characters"])
    n_targets = int((batch["targets"] != NO_TARGET).sum())
    softmax = 2 * n_targets * encoder.width // 2 * count_candidates(objective)
    return float(TRAINING * (recurrent + words + softmax))


def list_bilm_shapes(encoder: BiLM) -> list[Shape]:
    """Of the products of one step, both directions."""
    stacks = cast(Iterable[Iterable[LSTM]], encoder.directions)
    return [
        (weight.size(1), weight.size(0))
        for lstm in (lstm for stack in stacks for lstm in stack)
        for weight in (lstm.weight_input, lstm.weight_hidden, lstm.projection)
        if weight is not None
    ]


def count_words(cnn: CharacterCNN, ids: Tensor) -> float:
    """Forward, of context-free vectors. ids: (n, C), of distinct words."""
    convolutions = cast(Iterable[nn.Conv1d], cnn.convolutions)
    highways = cast(Iterable[Highway], cnn.highways)
    of_characters = 2 * sum(convolution.weight.numel() for convolution in convolutions)
    linear = [weight for h in highways for weight in (h.transform.weight, h.gate.weight)]
    if cnn.projection is not None:
        linear.append(cnn.projection.weight)
    of_words = 2 * sum(weight.numel() for weight in linear)
    return of_characters * int(find_lengths(ids).sum()) + of_words * len(ids)


def count_candidates(objective: BiLMObjective) -> float:
    """Words that a target is told from in training, itself included."""
    V = len(objective.vocabulary)
    if objective.n_samples is None:
        return float(V)
    return 1 + float(log_expected_count(torch.arange(V), V, objective.n_samples).exp().sum())


def count_masked_lm(encoder: TransformerEncoder, n_pieces: int, batch: Batch) -> float:
    """Of one step over the real pieces, padding left out. n_pieces: in the softmax."""
    lengths = batch["mask"].sum(dim=1).double().numpy()
    shapes = list_transformer_shapes(encoder)
    linear = 2 * count_weights(shapes) * lengths.sum()
    attention = encoder.n_blocks * 4 * encoder.width * np.square(lengths).sum()
    n_targets = int((batch["targets"] != NO_TARGET).sum())
    head = (
        2 * n_targets * count_weights([(encoder.width, encoder.width), (encoder.width, n_pieces)])
    )
    return float(TRAINING * (linear + attention + head))


def list_transformer_shapes(encoder: TransformerEncoder) -> list[Shape]:
    """Of the linear layers of all blocks."""
    weights = [
        module.weight
        for block in encoder.blocks
        for module in block.modules()
        if isinstance(module, nn.Linear)
    ]
    return [(weight.size(1), weight.size(0)) for weight in weights]


def count_weights(shapes: Sequence[Shape]) -> int:
    return sum(n_in * n_out for n_in, n_out in shapes)
