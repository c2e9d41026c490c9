"""The contract of every objective."""

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

    ids: (P,) or (P, C), possibly corrupted. targets: (P,), NO_TARGET where there is none.
    boundaries: the targets at the pieces before and after a window.
    """

    ids: Ids
    targets: Ids
    boundaries: tuple[int, int]


def to_perplexity(nats: float) -> float:
    """exp of a mean negative log-likelihood; infinite where a float cannot hold it."""
    return math.exp(nats) if nats < 709 else math.inf


class Losses(NamedTuple):
    """Of one batch: the sum of negative log-likelihoods in nats, and how many they are.

    By name, since a biLM has two: "forward" and "backward".
    """

    nll: dict[str, Tensor]
    n_targets: dict[str, int]


class Objective(nn.Module, ABC):
    """A head on an encoder, and the loss it is trained with. kind: its name when stored."""

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
        """layers: L of (N, D), of the real steps; targets, mask: (B, T)."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Fill every parameter with its initial value, in place."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What is needed, besides parameters and encoder, to build an equal objective."""

    @classmethod
    @abstractmethod
    def from_json(cls, data: dict[str, Any], encoder: Encoder) -> "Objective":
        """Build the objective that `to_json` described."""
