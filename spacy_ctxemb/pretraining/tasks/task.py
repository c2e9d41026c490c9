"""The contract between the training loop and what is learned: an objective with its data.

A step of training reads one micro-batch from each shard of the data. Shards are as many as
processes times micro-batches that a process accumulates, so two processes see what one sees that
accumulates twice as many. Whatever is random is drawn from the seed, the step and the shard, so
nothing of it needs to be stored.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ...objectives import Objective
from ...objectives.objective import Losses

#: Arrays by name, integers mostly: where a stream has stopped.
StreamState = dict[str, NDArray[Any]]

#: Tensors of one micro-batch by name.
Batch = dict[str, Tensor]

#: What a module wants back at the next step of the same shard, such as the state of an LSTM.
Carried = dict[str, Tensor]


class StepOutput(NamedTuple):
    """losses: of one micro-batch. carried: for the next one of the same shard; empty for most."""

    losses: Losses
    carried: Carried


class Stream(ABC):
    """The micro-batches of one shard, without end."""

    @abstractmethod
    def next_batch(self, step: int) -> Batch:
        """The next micro-batch. step: from 0; with the seed and the shard, all that is random
        may depend on."""

    @abstractmethod
    def state(self) -> StreamState:
        """Where the stream is: small arrays."""

    @abstractmethod
    def load_state(self, state: StreamState) -> None:
        """Go on from there."""


class Task(ABC):
    """A model to train, and its micro-batches.

    module: called as module(batch, carried), returns a StepOutput; its parameters are trained.
    objective: the head among them, which is stored beside the encoder.
    loss_weights: of each of the objective's losses, by name; a loss is the mean over its targets.
    """

    loss_weights: ClassVar[Mapping[str, float]]

    module: nn.Module
    objective: Objective

    @abstractmethod
    def open_stream(self, shard: int, n_shards: int) -> Stream:
        """The micro-batches of a shard, from the beginning."""

    @abstractmethod
    def start(self) -> Carried:
        """What the first step of a shard is given as carried."""

    @abstractmethod
    def count_words(self, batch: Batch) -> int:
        """Words or pieces that a micro-batch reads, for the throughput."""

    @abstractmethod
    def evaluate(self, rank: int, n_ranks: int) -> dict[str, tuple[float, float]]:
        """Sums over one process's part of the held-out text: (sum, count) by name.

        Names of losses have nats, of which the loop makes perplexities; a name that ends in
        "accuracy" has right answers. Processes together read every text once, whatever n_ranks.
        """


def draw(seed: int, step: int, shard: int) -> np.random.Generator:
    """The random numbers of one micro-batch."""
    return np.random.default_rng([seed, step, shard])
