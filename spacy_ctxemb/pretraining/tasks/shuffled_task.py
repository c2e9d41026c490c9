"""Tasks that learn from the examples of a stored text in random order."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...objectives.base import Losses, Sums, add_losses
from ..text.shuffle import Queue
from .base import Batch, Stream, Task, seed_batch, to_device

#: The seed of masks in evaluation, always the same.
EVALUATION = 0x3A5C

#: Pieces of the shortest examples that may be asked for, boundaries included.
LEAST = 8


class Text(Protocol):
    """A stored text, cut into numbered examples."""

    def __len__(self) -> int: ...

    def make_batch(self, chosen: Sequence[int], rng: np.random.Generator) -> Batch:
        """Read some examples."""


class ShuffledTask(Task):
    """Reads `batch_size` examples of `text` in a step, and scores all of `held_out`.

    scores: the names of what `score` computes.
    """

    text: Text
    held_out: Text
    batch_size: int
    seed: int
    scores: Sequence[str]

    @abstractmethod
    def score(self, batch: Batch) -> Losses:
        """Compute all that is reported of held-out text."""

    def open_stream(self, shard: int, n_shards: int) -> "ShuffledStream":
        queue = Queue(len(self.text), seed=self.seed, shard=shard, n_shards=n_shards)
        return ShuffledStream(self.text, queue, batch_size=self.batch_size)

    @torch.no_grad()
    def evaluate(self, rank: int, n_ranks: int) -> Sums:
        device = next(self.parameters()).device
        # All names, also in a process that has no batch: all of them add up the same.
        sums: Sums = dict.fromkeys(self.scores, (0.0, 0.0))
        firsts = range(0, len(self.held_out), self.batch_size)
        for i in range(rank, len(firsts), n_ranks):
            last = min(firsts[i] + self.batch_size, len(self.held_out))
            batch = self.held_out.make_batch(range(firsts[i], last), seed_batch(EVALUATION, i, 0))
            add_losses(sums, self.score(to_device(batch, device)))
        return sums


class ShuffledStream(Stream):
    """Reads the micro-batches of one shard."""

    def __init__(self, text: Text, queue: Queue, *, batch_size: int) -> None:
        self.text = text
        self.queue = queue
        self.batch_size = batch_size
        self.place = {"position": queue.position}

    def next_batch(self, step: int) -> Batch:
        rng = seed_batch(self.queue.seed, step, self.queue.shard)
        return self.text.make_batch([self.queue.take() for _ in range(self.batch_size)], rng)


def pad(values: NDArray[Any], mask: NDArray[np.bool_], fill: int) -> Tensor:
    """Lay the values of real steps out. (N,) or (N, C) to (B, T) or (B, T, C)"""
    padded = np.full((*mask.shape, *values.shape[1:]), fill, dtype=values.dtype)
    padded[mask] = values
    return torch.from_numpy(padded)
