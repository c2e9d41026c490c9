"""The contract of an objective of language modelling: a head on an encoder, and its loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..encoders import Encoder

Ids = NDArray[np.int32]
Ints = NDArray[np.int64]

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


#: Totals over batches by name: the sum of a score, and how many targets it is of.
Sums = dict[str, tuple[float, float]]


def add_losses(sums: Sums, losses: Losses) -> None:
    """Add the losses of one batch to totals, in place."""
    for name, nll in losses.nll.items():
        total, n = sums.get(name, (0.0, 0))
        sums[name] = total + float(nll.detach()), n + losses.n_targets[name]


def to_perplexity(nats: float) -> float:
    """Compute exp of a mean negative log-likelihood; infinite where a float cannot hold it."""
    return math.exp(nats) if nats < 709 else math.inf


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
        self,
        ids: Ids,
        words: Sequence[str],
        starts: Ints,
        lengths: Ints,
        rng: np.random.Generator,
    ) -> Targets:
        """Choose targets.

        ids: (P,) or (P, C). words: (W,), the text of each token. starts, lengths: (W,), the first
        piece of each, and how many it has; words may share pieces.
        """

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
