"""The real steps of a batch of windows, packed: one row each, window by window, no padding."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import Errors


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

    def check_length(self, max_length: int) -> None:
        """Raise E104 for a window of more than max_length steps."""
        longest = max(self.lengths, default=0)
        if longest > max_length:
            raise ValueError(Errors.E104.format(length=longest, max_length=max_length))

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
        """The bias that `build` makes for windows of a length; it is made once.

        like: a tensor of the type and on the device of the result, (n_heads or 1, T, T).
        """
        key = build, length, like.dtype
        if key not in self._casts:
            self.prepare(build, length)
            self._casts[key] = self._biases[build, length].to(like)
        return self._casts[key]

    def prepare(self, build: Callable[[int], Tensor], length: int) -> None:
        """Make the bias now. If it has a gradient, make it outside of parts that run twice."""
        if (build, length) not in self._biases:
            self._biases[build, length] = build(length)
