"""The recurrence of a projected LSTM over packed sequences, in inference.

It works in place: it keeps the state and a chunk of gates. For training see
lstm_forward_backward.py.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from .linear import Product

#: The input products of neighbouring steps are made together until there are this
#: many rows: enough for an efficient product, few enough to stay in the CPU's cache.
CHUNK_ROWS = 256


class State(NamedTuple):
    """Where B sequences stand. h: (B, width); c: (B, hidden_width)."""

    h: Tensor
    c: Tensor


class Clips(NamedTuple):
    """Bounds of cells and of projected values; None for no bound."""

    cell: float | None
    projection: float | None


class Kernels(NamedTuple):
    """The products with W_x, W_h and W_p, and a tanh that works in place.

    projection: None where nothing is projected.
    """

    input: Product
    hidden: Product
    projection: Product | None
    tanh: Callable[[Tensor], Tensor] = torch.tanh_


def infer_steps(
    x: Tensor, sizes: Sequence[int], state: State, kernels: Kernels, bias: Tensor, clips: Clips
) -> tuple[Tensor, Tensor]:
    """Run without keeping more than the outputs.

    x, sizes, state: see LSTM.forward. bias: (4 * hidden_width,), the forget bias included.
    Returns h of each step, (N, width), and the last c of each sequence, (B, hidden_width).
    """
    y = x.new_empty(len(x), state.h.size(1))
    h, c = state.h, state.c.clone()
    for chunk in chunk_steps(sizes, CHUNK_ROWS):
        h = infer_chunk(x, chunk, State(h, c), kernels, bias, clips, y)
    return y, c


def infer_chunk(
    x: Tensor,
    steps: list[tuple[int, int]],
    state: State,
    kernels: Kernels,
    bias: Tensor,
    clips: Clips,
    y: Tensor,
) -> Tensor:
    """Some steps of `infer_steps`; changes c in place and writes y. Returns the last h."""
    h, c = state
    first = steps[0][0]
    gates = kernels.input(x[first : steps[-1][1]], bias)
    for start, end in steps:
        n = end - start
        h = run_step(gates[start - first : end - first], h[:n], c[:n], kernels, clips)
        y[start:end] = h
    return h


def run_step(gates: Tensor, h: Tensor, c: Tensor, kernels: Kernels, clips: Clips) -> Tensor:
    """One step of n sequences, in place.

    gates: (n, 4 * hidden_width), the input's part; afterwards their values.
    h: (n, width), c: (n, hidden_width), of the step before; afterwards c of this step.
    Returns h of this step.
    """
    gates += kernels.hidden(h, None)
    i, j, f, o = gates.chunk(4, dim=1)
    i.sigmoid_(), kernels.tanh(j), f.sigmoid_(), o.sigmoid_()
    c.mul_(f).addcmul_(i, j)
    if clips.cell is not None:
        c.clamp_(-clips.cell, clips.cell)
    h = kernels.tanh(c.clone()).mul_(o)
    if kernels.projection is None:
        return h
    h = kernels.projection(h, None)
    return h if clips.projection is None else h.clamp_(-clips.projection, clips.projection)


def fast_tanh_(x: Tensor) -> Tensor:
    """tanh x = 2 sigmoid(2 x) - 1, in place; to 2e-7, in a fifth of the time of PyTorch's."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def find_steps(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Where each step's rows begin and end."""
    ends = list(accumulate(sizes))
    return [(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def chunk_steps(sizes: Sequence[int], n_rows: int) -> Iterator[list[tuple[int, int]]]:
    """Neighbouring steps together, n_rows at most unless one step has more."""
    chunk: list[tuple[int, int]] = []
    for start, end in find_steps(sizes):
        if chunk and end - chunk[0][0] > n_rows:
            yield chunk
            chunk = []
        chunk.append((start, end))
    if chunk:
        yield chunk


def find_last_rows(sizes: Sequence[int], device: torch.device) -> Tensor:
    """The row of each sequence's last step, the longest sequence first. (B,)"""
    rows: list[int] = []
    for (start, end), n_after in zip(
        reversed(find_steps(sizes)), [0, *reversed(sizes)][: len(sizes)], strict=True
    ):
        rows.extend(range(start + n_after, end))
    return torch.tensor(rows, dtype=torch.long, device=device)
