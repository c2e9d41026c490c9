"""Micro-batches of examples in random order: what several tasks share."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..text.shuffle import Queue
from .base import Batch, Stream, seed_batch


class MakesBatches(Protocol):
    """A stored text, cut into numbered examples."""

    def make_batch(self, chosen: Sequence[int], rng: np.random.Generator) -> Batch:
        """Read some examples."""


class ShuffledStream(Stream):
    """Reads the micro-batches of one shard."""

    def __init__(self, text: MakesBatches, queue: Queue, *, batch_size: int) -> None:
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
