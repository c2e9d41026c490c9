"""The likelihood of the next and of the previous word.

Source: Peters et al. 2018, "Deep contextualized word representations", section 3.1; sampled
softmax: Jean et al. 2015, "On Using Very Large Target Vocabulary for Neural Machine
Translation", section 3, with the log-uniform sampler of TensorFlow.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import BiLM, Encoder
from ..encoders.kernels.linear import linear
from ..errors import Errors
from ..pieces.base import TextPieces
from .base import NO_TARGET, Losses, Objective, Targets, wrong_encoder

BEGIN, END, UNKNOWN = "<S>", "</S>", "<UNK>"
SPECIAL = (BEGIN, END, UNKNOWN)
N_SPECIAL = len(SPECIAL)

#: Rows of logits computed at a time in the full softmax.
CHUNK = 1024


class BiLMObjective(Objective):
    """Two softmax classifiers over words, of shared weights: one a direction.

    The forward half of the top layer at step t predicts word t + 1, the backward half word
    t - 1. Sentence boundaries are words. A word outside the vocabulary is the target <UNK>.

    vocabulary: words by falling frequency, after <S>, </S> and <UNK>.
    n_samples: negatives drawn for each batch and direction while training; None for the full
        softmax. In evaluation mode the softmax is always full.

    Raises E430 for another encoder than a BiLM.
    """

    kind = "bilm"

    def __init__(
        self, encoder: Encoder, vocabulary: Sequence[str], *, n_samples: int | None
    ) -> None:
        super().__init__()
        if not isinstance(encoder, BiLM):
            raise wrong_encoder("BiLMObjective", "BiLM", encoder)
        self.n_samples = n_samples
        self.vocabulary = list(vocabulary)
        self.word_ids = {word: i for i, word in enumerate(self.vocabulary)}
        self.half_width = encoder.width // 2
        self.weight = nn.Parameter(torch.empty(len(self.vocabulary), self.half_width))
        self.bias = nn.Parameter(torch.empty(len(self.vocabulary)))
        # In a list, so that the module is not this one's too.
        self.encoder_dropout = [encoder.dropout]

    def make_targets(
        self, pieces: TextPieces, words: Sequence[str], rng: np.random.Generator
    ) -> Targets:
        # A biLM's pieces are words, so none is shared.
        unknown = self.word_ids[UNKNOWN]
        read = zip(words, pieces.lengths, strict=True)
        targets = [self.word_ids.get(word, unknown) for word, n in read if n]
        boundaries = self.word_ids[BEGIN], self.word_ids[END]
        return Targets(pieces.ids, np.array(targets, dtype=np.int32), boundaries)

    def forward(self, layers: tuple[Tensor, ...], targets: Tensor, mask: Tensor) -> Losses:
        (dropout,) = self.encoder_dropout
        forward, backward = dropout(layers[-1]).split(self.half_width, dim=-1)  # (N, D / 2)
        has_next = mask[:, 1:]  # padding is at the right, so step t + 1 is real only if t is
        following, preceding = targets[:, 1:], targets[:, :-1]  # (B, T - 1)
        to_following = has_next & (following != NO_TARGET)
        to_preceding = has_next & (preceding != NO_TARGET)
        before = F.pad(to_following, (0, 1))[mask]  # (N,)
        after = F.pad(to_preceding, (1, 0))[mask]
        h = [forward[before], backward[after]]
        nll = self.nll(h, [following[to_following], preceding[to_preceding]])
        n_targets = {"forward": int(to_following.sum()), "backward": int(to_preceding.sum())}
        return Losses(dict(zip(n_targets, nll, strict=True)), n_targets)

    def nll(self, h: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
        """Sum the negative log-likelihoods of each direction, in fp32.

        h: (n, D / 2) each; targets: (n,) each.
        """
        with torch.autocast(self.weight.device.type, enabled=False):
            h = [states.to(self.weight.dtype) for states in h]
            if self.training and self.n_samples is not None:
                return self.sampled_nll(h, targets, self.n_samples)
            return [self.full_nll(*both) for both in zip(h, targets, strict=True)]

    def full_nll(self, h: Tensor, targets: Tensor) -> Tensor:
        """Sum those of one direction, over the whole vocabulary."""
        total = h.new_zeros(())
        for rows, chosen in zip(h.split(CHUNK), targets.split(CHUNK), strict=True):
            logits = linear(rows, self.weight, self.bias)  # (CHUNK, V)
            total = total + F.cross_entropy(logits, chosen.long(), reduction="sum")
        return total

    def sampled_nll(
        self, h: Sequence[Tensor], targets: Sequence[Tensor], n_samples: int
    ) -> list[Tensor]:
        """Sum those over the target and a sample of other words, corrected for their odds."""
        V = len(self.vocabulary)
        samples = [draw_sample(V, n_samples, ids.device) for ids in targets]
        # Read once, since each reading gives the whole table a gradient.
        ids, places = torch.cat([*targets, *samples]).unique(return_inverse=True)
        weight, bias = self.weight[ids], self.bias[ids] - log_expected_count(ids, V, n_samples)
        parts = places.split([len(part) for part in (*targets, *samples)])
        n = len(targets)
        return [sum_nll(*both, weight, bias) for both in zip(h, parts[:n], parts[n:], strict=True)]

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, 0.0, 1.0 / math.sqrt(self.half_width))
        nn.init.zeros_(self.bias)

    def to_json(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary, "n_samples": self.n_samples}

    @classmethod
    def from_json(cls, data: dict[str, Any], encoder: Encoder) -> "BiLMObjective":
        return cls(encoder, data["vocabulary"], n_samples=data["n_samples"])


def draw_sample(n_ids: int, n_samples: int, device: torch.device) -> Tensor:
    """Draw n_samples log-uniform ids; returns the distinct ones, ascending."""
    uniform = torch.rand(n_samples, device=device)
    ids = (torch.exp(uniform * math.log(n_ids + 1)) - 1).long()
    return ids.clamp(max=n_ids - 1).unique()


def sum_nll(h: Tensor, targets: Tensor, sample: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sum the negative log-likelihoods of targets, each among itself and the sample.

    h: (n, D / 2). weight, bias: a row for each id. targets: (n,), ids. sample: ids, ascending.
    """
    true = (h * F.embedding(targets, weight)).sum(dim=-1) + bias[targets]  # (n,)
    others = linear(h, F.embedding(sample, weight), bias[sample])  # (n, S)
    # Where the sample has the target itself. The sample ascends, so the rest need not be read.
    place = torch.searchsorted(sample, targets).clamp(max=len(sample) - 1)
    rows = (sample[place] == targets).nonzero()[:, 0]
    others = others.index_put((rows, place[rows]), others.new_tensor(-torch.inf))
    return (torch.logaddexp(true, torch.logsumexp(others, dim=1)) - true).sum()


def log_expected_count(ids: Tensor, n_ids: int, n_samples: int) -> Tensor:
    """Compute the log of how often each id is expected among the distinct ones of n_samples draws.

    A log-uniform draw gives id k with probability log((k + 2) / (k + 1)) / log(n_ids + 1).
    """
    rank = ids.double() + 1
    p = torch.log1p(1 / rank) / math.log(n_ids + 1)
    return torch.log(-torch.expm1(n_samples * torch.log1p(-p))).float()


def build_vocabulary(documents: Iterable[Iterable[str]], *, size: int) -> list[str]:
    """List <S>, </S>, <UNK> and the most frequent words: `size` entries at most.

    documents: the words of each document; white space is no word. Raises E434 for a size that
    holds no word.
    """
    if size <= N_SPECIAL:
        raise ValueError(Errors.E434.format(size=size))
    counts = Counter(word for words in documents for word in words if not word.isspace())
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return [*SPECIAL, *(word for word in ranked if word not in SPECIAL)][:size]
