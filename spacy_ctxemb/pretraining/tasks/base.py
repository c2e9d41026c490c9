"""The contract between the training loop and a task: what is learned, and from which batches.

A step of training reads one micro-batch from each shard of the data. Shards are as many as
processes times micro-batches that a process accumulates, so two processes see what one sees that
accumulates twice as many. Whatever is random is drawn from the seed, the step and the shard, so
nothing of it needs to be stored.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ...embedder.layer_mix import LayerMix
from ...encoders import Encoder
from ...errors import Errors
from ...objectives import Objective
from ...objectives.base import Losses, Sums
from ...pieces.base import Ints, Pieces
from ..text.token_store import TokenStore

#: Whole numbers by name: where a stream has stopped.
StreamState = dict[str, Ints]

#: Tensors of one micro-batch by name.
Batch = dict[str, Tensor]

#: What a module wants back at the next step of the same shard, such as the state of an LSTM.
Carried = dict[str, Tensor]


class Stores(NamedTuple):
    """store, held_out: text to learn from, and to evaluate on."""

    store: TokenStore
    held_out: TokenStore


class Data(NamedTuple):
    """store, held_out: text to learn from, and to evaluate on. seed: of all that is random.

    others: the same text in the other pieces that a task reads, by their names; all of them have
        the same words in the same sentences.
    mix: how the pipeline makes one vector of the encoder's layers; pretraining leaves it as it is.
    has_weights: whether the weights will be those of a checkpoint, so first values need no thought.
    """

    store: TokenStore
    held_out: TokenStore
    seed: int
    others: Mapping[str, Stores] = {}
    mix: LayerMix | None = None
    has_weights: bool = False


class StepOutput(NamedTuple):
    """losses: of one micro-batch. carried: for the next one of the same shard, mostly empty."""

    losses: Losses
    carried: Carried


class Stream(ABC):
    """The micro-batches of one shard, without end. place: where it is, changed as it is read."""

    place: StreamState

    @abstractmethod
    def next_batch(self, step: int) -> Batch:
        """Read the next micro-batch. What is random may depend on the seed, the shard and the
        step, which begins at 0, but on nothing else."""

    def state(self) -> StreamState:
        return {name: numbers.copy() for name, numbers in self.place.items()}

    def load_state(self, state: StreamState) -> None:
        """Go on from a state."""
        for name, numbers in self.place.items():
            numbers[...] = state[name]


class Task(nn.Module, ABC):
    """A model to train, and its micro-batches.

    objective: the head on the encoder, which is stored beside it.
    loss_weights: of each of the objective's losses, by name; a loss is the mean over its targets.
    """

    loss_weights: Mapping[str, float]
    objective: Objective

    @abstractmethod
    def forward(self, batch: Batch, carried: Carried) -> StepOutput:
        """Compute the losses of a micro-batch."""

    @abstractmethod
    def open_stream(self, shard: int, n_shards: int) -> Stream:
        """Open the stream of a shard at its beginning."""

    def start(self) -> Carried:
        """Make what the first step of a shard is given as carried."""
        return {}

    @abstractmethod
    def count_words(self, batch: Batch) -> int:
        """Count the words or pieces that a micro-batch reads, for the throughput."""

    @abstractmethod
    def evaluate(self, rank: int, n_ranks: int) -> Sums:
        """Add up scores over one process's part of the held-out text.

        Likelihoods have nats, of which the loop makes perplexities; of others it shows the mean.
        Processes together read every text once, whatever n_ranks.
        """


class BuildTask(Protocol):
    """What `[pretrain.objective]` names: the settings of a task, which build it when called.

    other_pieces: those in which the task reads the text besides the encoder's own, by name.
    """

    @property
    def other_pieces(self) -> Mapping[str, Pieces]: ...

    def validate(self, encoder: Encoder, pieces: Pieces) -> None:
        """Raise an error for what cannot be trained so, before any text is read."""

    def __call__(self, encoder: Encoder, pieces: Pieces, data: Data) -> Task:
        """Build the task."""


def validate_least(settings: object, **least: int) -> None:
    """Raise E401 for a setting below its least value; None is valid."""
    for name, bound in least.items():
        value = getattr(settings, name)
        if value is not None and value < bound:
            raise ValueError(Errors.E401.format(name=name, value=value, least=bound))


def to_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def seed_batch(seed: int, step: int, shard: int) -> np.random.Generator:
    """Make the random numbers of one micro-batch."""
    return np.random.default_rng([seed, step, shard])
