"""The recurrence of lstm_inference.py in training: it keeps what the backward pass needs, which is
written out, since autograd would add up the gradients of the weights step by step, where one
product over all steps will do.

The input of a step, [x, h of the step before], is one row, and [W_x, W_h] one weight, so that a
step has one product for its gates. Under torch.autocast the factors of products are rounded to its
type; gates, cells and the gradients of both stay in the type of the weights.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .linear import get_product_dtype, pack, sum_outer, sum_rows
from .lstm_inference import Clips, State, fast_tanh_, find_last_rows, find_steps

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input
clip_backward = torch.ops.aten.hardtanh_backward.grad_input


class Kept(NamedTuple):
    """Of N steps, for the backward pass.

    inputs: (N, 2 * width), [x, h of the step before], as they are multiplied.
    y: (N, width). cells: (N, hidden_width).
    gates: (n, 4 * hidden_width) of each step's n sequences, after their activations.
    """

    inputs: Tensor
    y: Tensor
    cells: Tensor
    gates: list[Tensor]


class LSTMFunction(torch.autograd.Function):
    """h of each step, and the last c of each sequence, which passes no gradient on.

    x, sizes, state: see LSTM.forward. bias: (4 * hidden_width,), the forget bias included.
    """

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
        continues: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        dtype = get_product_dtype(weight_input)
        weight = torch.cat([weight_input, weight_hidden], dim=1).to(dtype)
        if projection is not None:
            projection = projection.to(dtype)
        kept = run_steps(x, weight, bias, projection, sizes, state, clips, continues)
        c = kept.cells[find_last_rows(sizes, x.device)]
        ctx.save_for_backward(weight, projection, state.c, continues, *kept[:3], *kept.gates)
        ctx.sizes, ctx.clips, ctx.x_dtype = sizes, clips, x.dtype
        ctx.mark_non_differentiable(c)
        return kept.y, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        weight, projection, c, continues, inputs, y, cells, *gates = ctx.saved_tensors
        kept, needed = Kept(inputs, y, cells, gates), ctx.needs_input_grad
        found = backprop_steps(d_y, kept, weight, projection, ctx.sizes, c, ctx.clips, continues)
        d_input = d_hidden = d_projection = None
        if needed[1] or needed[2]:
            both = sum_outer(found.gates, inputs).to(y.dtype)
            d_input, d_hidden = both.chunk(2, dim=1)
        if projection is not None and needed[4]:
            d_projection = sum_outer(found.projected, found.hidden).to(y.dtype)
        return (
            found.x.to(ctx.x_dtype) if needed[0] else None,
            d_input if needed[1] else None,
            d_hidden if needed[2] else None,
            sum_rows(found.gates).to(y.dtype) if needed[3] else None,
            d_projection,
            None,
            None,
            None,
            None,
        )


def run_steps(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    projection: Tensor | None,
    sizes: Sequence[int],
    state: State,
    clips: Clips,
    continues: Tensor | None,
) -> Kept:
    """The forward pass. weight: (4 * hidden_width, 2 * width). continues: see LSTM.forward."""
    width = x.size(1)
    to_gates = pack(weight, weight.dtype)
    to_h = None if projection is None else pack(projection, weight.dtype)
    inputs = x.new_empty(len(x), 2 * width, dtype=weight.dtype)
    inputs[:, :width] = x
    y = bias.new_empty(len(x), width)
    cells = bias.new_empty(len(x), len(bias) // 4)
    all_gates = []
    h, c = state
    for start, end in find_steps(sizes):
        n = end - start
        h, c = h[:n], c[:n]
        if continues is not None:
            h, c = h * continues[start:end, None], c * continues[start:end, None]
        inputs[start:end, width:] = h
        gates = to_gates(inputs[start:end], None).to(bias.dtype).add_(bias)
        i, j, f, o = gates.chunk(4, dim=1)
        i.sigmoid_(), fast_tanh_(j), f.sigmoid_(), o.sigmoid_()
        c = torch.mul(c, f, out=cells[start:end]).addcmul_(i, j)
        if clips.cell is not None:
            c.clamp_(-clips.cell, clips.cell)
        h = fast_tanh_(c.clone()).mul_(o)
        if to_h is not None:
            h = to_h(h.to(weight.dtype), None).to(bias.dtype)
            if clips.projection is not None:
                h = h.clamp_(-clips.projection, clips.projection)
        y[start:end] = h
        all_gates.append(gates)
    return Kept(inputs, y, cells, all_gates)


class Gradients(NamedTuple):
    """x: (N, width). And the factors of those of the weights: those of gates before their
    activations and of projected values before their clip, and what was projected."""

    x: Tensor
    gates: Tensor
    projected: Tensor
    hidden: Tensor


def backprop_steps(
    d_y: Tensor,
    kept: Kept,
    weight: Tensor,
    projection: Tensor | None,
    sizes: Sequence[int],
    first_c: Tensor,
    clips: Clips,
    continues: Tensor | None,
) -> Gradients:
    """The backward pass, from the last step to the first."""
    y, cells = kept.y, kept.cells
    (N, width), H, dtype = y.shape, cells.size(1), weight.dtype
    to_inputs = pack(weight.T, dtype)
    to_m = None if projection is None else pack(projection.T, dtype)
    found = Gradients(
        x=torch.empty_like(y),
        gates=y.new_empty(N, 4 * H, dtype=dtype),
        projected=y.new_empty(N, width, dtype=dtype),
        hidden=y.new_empty(N, H, dtype=dtype),
    )
    steps = find_steps(sizes)
    before = [first_c, *(cells[start:end] for start, end in steps[:-1])]
    d_h, d_c = y.new_zeros(len(first_c), width), torch.zeros_like(first_c)
    part, d_gates = torch.empty_like(d_c), y.new_empty(len(first_c), 4 * H)
    for (start, end), gates, c_before in reversed(
        list(zip(steps, kept.gates, before, strict=True))
    ):
        n = end - start
        d, t, z = d_c[:n], part[:n], d_gates[:n]
        i, j, f, o = gates.chunk(4, dim=1)
        d_i, d_j, d_f, d_o = z.chunk(4, dim=1)
        c = cells[start:end]
        m = fast_tanh_(c.clone())
        d_m = d_h[:n].add_(d_y[start:end])
        c_before = c_before[:n]
        if continues is not None:
            c_before = c_before * continues[start:end, None]
        if to_m is not None:
            if clips.projection is not None:
                bound = clips.projection
                clip_backward(d_m, y[start:end], -bound, bound, grad_input=d_m)
            found.projected[start:end] = d_m
            torch.mul(m, o, out=t)
            found.hidden[start:end] = t
            d_m = to_m(found.projected[start:end], None).to(y.dtype)
        torch.mul(d_m, o, out=t)
        d += tanh_backward(t, m, grad_input=t)
        if clips.cell is not None:
            clip_backward(d, c, -clips.cell, clips.cell, grad_input=d)
        sigmoid_backward(torch.mul(d, j, out=t), i, grad_input=d_i)
        tanh_backward(torch.mul(d, i, out=t), j, grad_input=d_j)
        sigmoid_backward(torch.mul(d, c_before, out=t), f, grad_input=d_f)
        sigmoid_backward(torch.mul(d_m, m, out=t), o, grad_input=d_o)
        d *= f
        found.gates[start:end] = z
        d_inputs = to_inputs(found.gates[start:end], None)
        found.x[start:end] = d_inputs[:, :width]
        d_h[:n] = d_inputs[:, width:]
        if continues is not None:
            d_h[:n] *= continues[start:end, None]
            d *= continues[start:end, None]
    return found
