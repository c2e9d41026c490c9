"""The contract of an objective of language modelling: a head on an encoder, and its loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch import Tensor, nn

from ..encoders import Encoder
from ..errors import Errors
from ..pieces.base import Ids, TextPieces

#: Marks a step that is no target.
NO_TARGET = -100


class Targets(NamedTuple):
    """What an encoder reads and what it is to predict.

    ids: (P,) or (P, C), possibly masked. targets: (P,), NO_TARGET where there is none.
    boundaries: the targets at the pieces before and after a window.
    """

    ids: Ids
    targets: Ids
    boundaries: tuple[int, int]


class Losses(NamedTuple):
    """The losses of one batch by name, since a biLM has two: "forward" and "backward".

    nll: the sum of negative log-likelihoods, in nats. n_targets: how many they are.
    """

    nll: dict[str, Tensor]
    n_targets: dict[str, int]


#: Losses in nats; those of others are not likelihoods.
LIKELIHOODS = {"forward", "backward", "masked", "next_sentence"}

#: Totals over batches by name: the sum of a score, and how many targets it is of.
Sums = dict[str, tuple[float, float]]


def add_losses(sums: Sums, losses: Losses) -> None:
    add_sums(sums, {k: (float(nll.detach()), losses.n_targets[k]) for k, nll in losses.nll.items()})


def add_sums(sums: Sums, others: Sums) -> None:
    """Add further totals to totals, in place."""
    for name, (value, count) in others.items():
        total, n = sums.get(name, (0.0, 0))
        sums[name] = total + value, n + count


def summarise(sums: Sums) -> dict[str, float]:
    """Compute perplexities of likelihoods, that of their mean if they are several, and the means of
    other scores."""
    means = {name: total / max(n, 1.0) for name, (total, n) in sums.items()}
    losses = {name: mean for name, mean in means.items() if name in LIKELIHOODS}
    scores = {f"perplexity_{name}": to_perplexity(mean) for name, mean in losses.items()}
    if len(losses) > 1:
        scores["perplexity"] = to_perplexity(sum(losses.values()) / len(losses))
    return scores | {name: mean for name, mean in means.items() if name not in losses}


def to_perplexity(nats: float) -> float:
    """Compute exp of a mean negative log-likelihood; infinite where a float cannot hold it."""
    return math.exp(nats) if nats < 709 else math.inf


def wrong_encoder(objective: str, wanted: str, found: Encoder) -> ValueError:
    """Make the error E430. objective, wanted: as configs name them."""
    name = type(found).__name__
    return ValueError(Errors.E430.format(objective=objective, wanted=wanted, found=name))


class Objective(nn.Module, ABC):
    """A head on an encoder, and the loss it is trained with. kind: its name when stored.

    Example:
        objective = BiLMObjective(encoder, vocabulary, n_samples=None)
        losses = objective(encoder(ids, mask), targets, mask)
        losses.nll["forward"] / losses.n_targets["forward"]
    """

    kind: ClassVar[str]

    @abstractmethod
    def make_targets(
        self, pieces: TextPieces, words: Sequence[str], rng: np.random.Generator
    ) -> Targets:
        """Choose targets. words: (W,), the text of each token."""

    @abstractmethod
    def forward(self, layers: tuple[Tensor, ...], targets: Tensor, mask: Tensor) -> Losses:
        """Compute the losses. layers: L of (N, D), of the real steps; targets, mask: (B, T)."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Fill every parameter with its initial value, in place."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` needs besides parameters and encoder."""

    @classmethod
    @abstractmethod
    def from_json(cls, data: dict[str, Any], encoder: Encoder) -> "Objective":
        """Build the objective that `to_json` described."""
