"""Shuffled orders of more things than memory holds, from any position on."""

import numpy as np
from numpy.typing import NDArray

#: Blocks that are shuffled together.
BUFFER = 8

#: Tells the numbers drawn here from others with the same seed.
_BLOCKS, _WITHIN = 0x0DE4, 0x0DE5


class BlockShuffle:
    """A permutation of range(n), called with a position.

    Blocks of neighbours come in random order, and are mixed within each run of BUFFER blocks, a
    buffer. So what is read is near to what was read before, and only one buffer is in memory.

    seed, epoch: what the permutation depends on besides n and block.
    block: neighbours in a block. Up to BUFFER of them, all is shuffled at once.
    """

    def __init__(self, n: int, *, seed: int, epoch: int, block: int = 65536) -> None:
        self.n = n
        self.block = block
        self._key = [seed, epoch]
        rng = np.random.default_rng([*self._key, _BLOCKS])
        self._blocks = rng.permutation(-(-n // block))  # in their order
        sizes = np.minimum(n - self._blocks * block, block)
        ends = np.cumsum(sizes)
        starts = np.arange(0, len(ends), BUFFER)
        self._buffer_ends = ends[np.minimum(starts + BUFFER, len(ends)) - 1]
        self._buffer = -1
        self._indices: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return self.n

    def __call__(self, position: int) -> int:
        """The index at a position from 0 to n - 1. Fast where it lies near the last one."""
        if not 0 <= position < self.n:
            raise IndexError(position)
        buffer = int(np.searchsorted(self._buffer_ends, position, side="right"))
        if buffer != self._buffer:
            self._indices = self._shuffle(buffer)
            self._buffer = buffer
        return int(self._indices[position - int(self._buffer_ends[buffer])])

    def _shuffle(self, buffer: int) -> NDArray[np.int64]:
        """The indices of one buffer; positions in it count from its end, so below 0."""
        blocks = self._blocks[buffer * BUFFER : (buffer + 1) * BUFFER]
        spans = [np.arange(b * self.block, min((b + 1) * self.block, self.n)) for b in blocks]
        rng = np.random.default_rng([*self._key, _WITHIN, buffer])
        shuffled: NDArray[np.int64] = rng.permutation(np.concatenate(spans))
        return shuffled


class Queue:
    """The units of one shard in shuffled order, epoch after epoch.

    position: how many units were taken; it alone tells which is next.
    """

    def __init__(self, n_units: int, *, seed: int, shard: int, n_shards: int) -> None:
        self.n_units = n_units
        self.seed = seed
        self.shard = shard
        self.n_shards = n_shards
        self.position = np.zeros((), dtype=np.int64)
        self._epoch = -1

    def take(self) -> int:
        epoch, place = divmod(int(self.position) * self.n_shards + self.shard, self.n_units)
        self.position += 1
        if epoch != self._epoch:
            self._epoch = epoch
            self._shuffled = BlockShuffle(self.n_units, seed=self.seed, epoch=epoch)
        return int(self._shuffled(place))
