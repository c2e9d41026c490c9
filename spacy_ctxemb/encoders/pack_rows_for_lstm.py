"""The real steps of a batch of windows, packed for a recurrence: one time step after the other."""

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """How the N real steps of a batch are ordered by time, the longest window first.

    order: (2, N), which real step, window by window, comes next, for either direction.
    sizes: windows still active at each step.
    windows: (B,), the longest first.
    """

    order: Tensor
    sizes: list[int]
    windows: Tensor


def pack(mask: Tensor) -> Packing:
    """Order real steps by time, so that no step of the recurrence sees padding."""
    lengths, windows = mask.sum(dim=1).sort(descending=True, stable=True)  # (B,)
    active = torch.arange(mask.size(1), device=mask.device)[:, None] < lengths  # (T, B)
    step, rank = active.nonzero(as_tuple=True)  # (N,) each
    step_back = lengths[rank] - 1 - step
    first = (mask.sum(dim=1).cumsum(dim=0)[windows] - lengths)[rank]  # of the window's real steps
    sizes = [size for size in active.sum(dim=1).tolist() if size]
    return Packing(
        order=torch.stack([first + step, first + step_back]),
        sizes=sizes,
        windows=windows,
    )
