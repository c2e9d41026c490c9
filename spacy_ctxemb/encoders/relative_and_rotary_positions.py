"""Positions that act inside attention."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

#: Distances from this one on share a bucket.
MAX_DISTANCE = 128


class RelativeBias(nn.Module):
    """A learned number for each head and bucket of distances, added to attention scores.

    Half of the buckets are for steps before, half for those after. Short distances have a
    bucket each, longer ones share buckets of logarithmic size.

    Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified
    Text-to-Text Transformer", section 2.1.
    """

    def __init__(self, n_buckets: int, n_heads: int) -> None:
        super().__init__()
        self.n_buckets = n_buckets
        self.weight = nn.Parameter(torch.empty(n_buckets, n_heads))

    def forward(self, length: int) -> Tensor:
        """(n_heads, T, T): from a step, to a step."""
        steps = torch.arange(length, device=self.weight.device)
        distances = steps - steps[:, None]  # (T, T), positive where the other step comes after
        return self.weight[find_buckets(distances, self.n_buckets)].permute(2, 0, 1)


def find_buckets(distances: Tensor, n_buckets: int) -> Tensor:
    """The bucket of each distance, in [0, n_buckets)."""
    half = n_buckets // 2
    n_exact = half // 2
    size = distances.abs()
    ratio = torch.log(size.clamp(min=1) / n_exact) / math.log(MAX_DISTANCE / n_exact)
    shared = (n_exact + (ratio * (half - n_exact)).long()).clamp(max=half - 1)
    return torch.where(size < n_exact, size, shared) + half * (distances > 0)


def build_rotation(positions: Tensor, width: int, theta: float) -> Callable[[Tensor], Tensor]:
    """Turns pairs of columns by angles that grow with the position.

    Source: Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding",
    section 3.2.2; column i is paired with i + d / 2.

    positions: (N,). width: d, of a head. theta: the slowest pair takes about 2 pi theta steps to
    turn once.
    """
    frequencies = theta ** (-torch.arange(0, width, 2, device=positions.device) / width)  # (d / 2,)
    angles = (positions[:, None] * frequencies)[:, None, None]  # (N, 1, 1, d / 2)
    return partial(rotate, cos=angles.cos(), sin=angles.sin())


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: (N, ..., d); cos, sin: (N, 1, 1, d / 2)."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def build_local_mask(length: int, *, reach: int) -> Tensor:
    """0 for steps up to `reach` away, minus infinity beyond. (1, T, T)"""
    steps = torch.arange(length)
    is_far = (steps - steps[:, None]).abs() > reach
    return torch.zeros(1, length, length).masked_fill(is_far, -torch.inf)
