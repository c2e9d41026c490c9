"""The real steps of a batch of windows, packed: one row each, window by window, no padding."""

from collections.abc import Callable
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import Errors


class Run(NamedTuple):
    """Neighbouring windows of one length."""

    n_windows: int
    length: int


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
        """All windows with steps, neighbours of one length together, so that none is padded."""
        lengths = filter(None, self.lengths)
        return [Run(len(list(same)), length) for length, same in groupby(lengths)]

    def split(self, x: Tensor) -> list[Tensor]:
        """The rows of each run, by window. (N, ...) to (n_windows, length, ...) each

        One operation for all runs: the gradient of a slice is as large as what it is cut from.
        """
        parts = x.split([run.n_windows * run.length for run in self.runs])
        return [part.unflatten(0, run) for part, run in zip(parts, self.runs, strict=True)]

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
