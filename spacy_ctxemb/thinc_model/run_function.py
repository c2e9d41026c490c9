"""Functions of tensors, forward and backward."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..torch_state import in_ordinary_torch


def run(
    function: Callable[[list[Tensor]], Tensor],
    inputs: Sequence[Tensor],
    *,
    is_train: bool,
    is_upstream_trained: bool = True,
) -> tuple[Tensor, Callable[[Tensor], list[Tensor | None]]]:
    """What a function with parameters makes of some tensors.

    In training also a callback, which sends a gradient back to the parameters and gives that of
    each tensor, unless the upstream is not trained.
    """
    if not is_train:
        with torch.inference_mode():
            return function(list(inputs)), lambda gradient: []
    tracked = [one.detach().requires_grad_(is_upstream_trained) for one in inputs]
    with torch.enable_grad():
        output = function(tracked)

    @in_ordinary_torch
    def backprop(gradient: Tensor) -> list[Tensor | None]:
        backpropagate((output, gradient))
        return [one.grad for one in tracked]

    return output.detach(), backprop


def backpropagate(*pairs: tuple[Tensor, Tensor | None], scale: float = 1.0) -> None:
    """Send gradients back from outputs, in one pass.

    pairs: an output, and its gradient if any. scale: that the gradients of parameters are to have.
    """
    outputs, gradients = [], []
    for output, gradient in pairs:
        if gradient is not None and output.requires_grad:  # not where no Doc has any pieces
            outputs.append(output)
            gradients.append(gradient if scale == 1.0 else gradient * scale)
    if outputs:
        torch.autograd.backward(outputs, gradients)
