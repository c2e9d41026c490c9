"""The recurrence of a projected LSTM over packed sequences, forward and backward.

One loop serves inference and training. Inference works in place: it keeps the state and a chunk
of gates. Training keeps the gates and cells of all steps; with these the backward pass is
written out, since autograd would add up the gradients of the weights step by step, where one
product over all steps will do.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .linear import Product, linear, pack, product_with, sum_outer

#: In inference, the input products of neighbouring steps are made together until there are this
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


class Steps(NamedTuple):
    """What training keeps of N steps.

    y: (N, width), h of each step. gates: (N, 4 * hidden_width), after their activations.
    cells: (N, hidden_width).
    """

    y: Tensor
    gates: Tensor
    cells: Tensor


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
        h = run_step(gates[start - first : end - first], h[:n], c[:n], c[:n], kernels, clips)
        y[start:end] = h
    return h


def train_steps(
    x: Tensor, sizes: Sequence[int], state: State, kernels: Kernels, bias: Tensor, clips: Clips
) -> Steps:
    """Run and keep what the backward pass needs."""
    y, cells = x.new_empty(len(x), state.h.size(1)), x.new_empty(len(x), state.c.size(1))
    gates = kernels.input(x, bias)
    h, c = state.h, state.c
    for start, end in find_steps(sizes):
        n = end - start
        h = run_step(gates[start:end], h[:n], c[:n], cells[start:end], kernels, clips)
        c = cells[start:end]
        y[start:end] = h
    return Steps(y, gates, cells)


def run_step(
    gates: Tensor, h: Tensor, c: Tensor, new_c: Tensor, kernels: Kernels, clips: Clips
) -> Tensor:
    """One step of n sequences, in place.

    gates: (n, 4 * hidden_width), the input's part; afterwards their values.
    h: (n, width), c: (n, hidden_width), of the step before. new_c: where c of this step goes; may
        be c itself.
    Returns h of this step.
    """
    gates += kernels.hidden(h, None)
    i, j, f, o = gates.chunk(4, dim=1)
    i.sigmoid_(), kernels.tanh(j), f.sigmoid_(), o.sigmoid_()
    torch.mul(c, f, out=new_c)
    new_c.addcmul_(i, j)
    if clips.cell is not None:
        new_c.clamp_(-clips.cell, clips.cell)
    h = kernels.tanh(new_c.clone()).mul_(o)
    if kernels.projection is None:
        return h
    h = kernels.projection(h, None)
    return h if clips.projection is None else h.clamp_(-clips.projection, clips.projection)


def fast_tanh_(x: Tensor) -> Tensor:
    """tanh x = 2 sigmoid(2 x) - 1, in place; to 2e-7, in a fifth of the time of PyTorch's."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


class LSTMFunction(torch.autograd.Function):
    """`train_steps` with its gradient. Outputs: y, and the last cells, which pass none on."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_input: Tensor,
        weight_hidden: Tensor,
        bias: Tensor,
        projection: Tensor | None,
        sizes: Sequence[int],
        state: State,
        clips: Clips,
    ) -> tuple[Tensor, Tensor]:
        kernels = Kernels(
            input=product_with(weight_input),
            hidden=product_with(weight_hidden),
            projection=None if projection is None else product_with(projection),
        )
        y, gates, cells = train_steps(x, sizes, state, kernels, bias, clips)
        c = cells[find_last_rows(sizes, x.device)]
        ctx.save_for_backward(x, weight_input, weight_hidden, projection, *state, y, gates, cells)
        ctx.sizes, ctx.clips = sizes, clips
        ctx.mark_non_differentiable(c)
        return y, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor, d_c: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_input, weight_hidden, projection, h_0, c_0, y, gates, cells = ctx.saved_tensors
        state, steps = State(h_0, c_0), find_steps(ctx.sizes)
        d_gates, d_h = backprop_steps(
            d_y, steps, state, y, gates, cells, weight_hidden, projection, ctx.clips
        )
        d_projection = None
        if projection is not None and ctx.needs_input_grad[4]:
            o = gates.chunk(4, dim=1)[3]
            d_projection = sum_outer(d_h, torch.tanh(cells) * o)
        needed = ctx.needs_input_grad
        return (
            linear(d_gates, weight_input.T) if needed[0] else None,
            sum_outer(d_gates, x) if needed[1] else None,
            sum_outer(d_gates, shift(y, h_0, steps)) if needed[2] else None,
            d_gates.sum(dim=0) if needed[3] else None,
            d_projection,
            None,
            None,
            None,
        )


def backprop_steps(
    d_y: Tensor,
    steps: Sequence[tuple[int, int]],
    state: State,
    y: Tensor,
    gates: Tensor,
    cells: Tensor,
    weight_hidden: Tensor,
    projection: Tensor | None,
    clips: Clips,
) -> tuple[Tensor, Tensor]:
    """Gradients of the gates before their activations, and of h before its clip, at all steps."""
    d_gates, d_hs = torch.empty_like(gates), torch.empty_like(y)
    d_h, d_c = torch.zeros_like(state.h), torch.zeros_like(state.c)
    to_h = pack(weight_hidden.T, weight_hidden.dtype)
    to_m = None if projection is None else pack(projection.T, projection.dtype)
    before = [state.c, *(cells[start:end] for start, end in steps[:-1])]
    for (start, end), c_before in reversed(list(zip(steps, before, strict=True))):
        n = end - start
        i, j, f, o = gates[start:end].chunk(4, dim=1)
        c = cells[start:end]
        m = torch.tanh(c)
        d_m = torch.add(d_y[start:end], d_h[:n], out=d_hs[start:end])
        if to_m is not None:
            if clips.projection is not None:
                d_m *= y[start:end].abs() < clips.projection
            d_m = to_m(d_m, None)
        d = d_c[:n]
        d += d_m * o * (1 - m * m)
        if clips.cell is not None:
            d *= c.abs() < clips.cell
        d_i, d_j, d_f, d_o = d_gates[start:end].chunk(4, dim=1)
        torch.mul(d * j, i * (1 - i), out=d_i)
        torch.mul(d * i, 1 - j * j, out=d_j)
        torch.mul(d * c_before[:n], f * (1 - f), out=d_f)
        torch.mul(d_m * m, o * (1 - o), out=d_o)
        d *= f
        d_h[:n] = to_h(d_gates[start:end], None)
    return d_gates, d_hs


def shift(y: Tensor, h_0: Tensor, steps: Sequence[tuple[int, int]]) -> Tensor:
    """h of the step before, for each step. (N, width)"""
    sizes = [end - start for start, end in steps]
    starts = [start for start, _ in steps]
    befores = (y[start : start + n] for start, n in zip(starts[:-1], sizes[1:], strict=True))
    return torch.cat([h_0[: sizes[0]], *befores])


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
