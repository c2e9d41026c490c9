"""The real steps of a batch of windows, packed: one row each, window by window, no padding."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor


class Run(NamedTuple):
    """Neighbouring windows of one length. start: its first row; it has n_windows * length."""

    start: int
    n_windows: int
    length: int

    def view(self, x: Tensor) -> Tensor:
        """Its rows of a packed tensor, by window. (N, ...) to (n_windows, length, ...)"""
        return x[self.start : self.start + self.n_windows * self.length].unflatten(
            0, (self.n_windows, self.length)
        )


class Steps:
    """Where the N real steps of a batch lie.

    mask: (B, T), True where a step is real; padding stands at the right.
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask
        self.lengths: list[int] = mask.sum(dim=1).tolist()
        self._biases: dict[tuple[object, int], Tensor] = {}
        self._casts: dict[tuple[object, int, torch.dtype], Tensor] = {}

    @cached_property
    def positions(self) -> Tensor:
        """The place of each step in its window. (N,)"""
        return torch.arange(self.mask.size(1), device=self.mask.device).expand_as(self.mask)[
            self.mask
        ]

    @cached_property
    def runs(self) -> list[Run]:
        """All windows, neighbours of one length together, so that none is padded."""
        runs: list[Run] = []
        start = 0
        for length in self.lengths:
            if runs and runs[-1].length == length:
                runs[-1] = runs[-1]._replace(n_windows=runs[-1].n_windows + 1)
            elif length:
                runs.append(Run(start, 1, length))
            start += length
        return runs

    def bias(self, build: Callable[[int], Tensor], length: int, *, like: Tensor) -> Tensor:
        """What `build` makes for windows of a length, made once. (n_heads or 1, T, T)

        like: of its type and on its device.
        """
        key = build, length, like.dtype
        if key not in self._casts:
            self.prepare(build, length)
            self._casts[key] = self._biases[build, length].to(like)
        return self._casts[key]

    def prepare(self, build: Callable[[int], Tensor], length: int) -> None:
        """Make it here, which matters where it has a gradient and `bias` is called in a part that
        runs twice."""
        if (build, length) not in self._biases:
            self._biases[build, length] = build(length)
