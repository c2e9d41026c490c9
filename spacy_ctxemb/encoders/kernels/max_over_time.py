"""The convolutions of a character CNN and their maximum, in one product, with its gradient."""

from typing import Any

import torch
from torch import Tensor

from .linear import get_product_dtype, multiply, sum_outer


class MaxOverTime(torch.autograd.Function):
    """The largest value of each filter over all positions. (n, C, width) to (n, count)

    As a product with all stretches of text, it takes a fraction of the time of PyTorch's
    convolution and maximum, forward and backward. weight: (count, width, size), bias: (count,).
    Of positions with equal values the first has the gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        dtype, size = get_product_dtype(weight), weight.size(2)
        flat = weight.to(dtype).transpose(1, 2).flatten(1)  # (count, size * width)
        windows = x.to(dtype).unfold(1, size, 1).transpose(2, 3)  # (n, positions, size, width)
        stretches = windows.flatten(2).flatten(0, 1)
        scores = multiply(stretches, flat, bias).unflatten(0, windows.shape[:2])
        largest = scores.amax(dim=1)
        ctx.save_for_backward(flat, stretches, scores, largest)
        ctx.x_shape = x.shape
        return largest.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat, stretches, scores, largest = ctx.saved_tensors
        n, C, width = ctx.x_shape
        d_scores = torch.empty_like(scores)  # (n, positions, count)
        rest, is_largest = dy.to(scores.dtype), torch.empty_like(largest)
        for position, d in zip(scores.unbind(dim=1), d_scores.unbind(dim=1), strict=True):
            torch.eq(position, largest, out=is_largest)  # as numbers: faster than with a mask
            torch.mul(is_largest, rest, out=d)
            rest = rest - d
        d_scores = d_scores.flatten(0, 1)
        d_flat = sum_outer(d_scores, stretches).to(dy.dtype)
        d_weight = d_flat.unflatten(1, (-1, width)).transpose(1, 2)
        d_windows = multiply(d_scores, flat.T).view(n, scores.size(1), -1, width)
        dx = dy.new_zeros(n, C, width)
        for i, d in enumerate(d_windows.unbind(dim=2)):
            dx[:, i : i + d.size(1)] += d
        return dx, d_weight.clone(memory_format=torch.contiguous_format), dy.sum(dim=0)
