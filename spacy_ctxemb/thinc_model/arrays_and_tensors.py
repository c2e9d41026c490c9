"""Between Thinc's arrays, one for each Doc, and PyTorch's tensors: values, and gradients back."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Ops, torch2xp, xp2torch
from thinc.types import Floats2d, FloatsXd
from torch import Tensor

from ..torch_state import in_ordinary_torch


def to_array(tensor: Tensor, ops: Ops | None = None) -> Any:
    """A NumPy or CuPy view of a tensor."""
    return torch2xp(tensor, ops=ops)


def split_vectors(vectors: Tensor, docs: Sequence[Doc], ops: Ops) -> list[Floats2d]:
    """Rows of each Doc. Copies: a view would keep the whole batch alive with one Doc."""
    parts = split(to_array(vectors, ops), [len(doc) for doc in docs], axis=0)
    return [cast(Floats2d, part.copy()) for part in parts]


def split(array: Any, sizes: Sequence[int], *, axis: int) -> list[Any]:
    """Stretches of an axis, as views."""
    ends, before = np.cumsum(sizes).tolist(), (slice(None),) * axis
    places = [(*before, slice(end - n, end)) for n, end in zip(sizes, ends, strict=True)]
    return [array[place] for place in places]


def join(arrays: Sequence[FloatsXd], *, axis: int, device: torch.device) -> Tensor:
    """Arrays of several Docs, at least one, as one tensor of its own."""
    return torch.cat([xp2torch(array, device=device) for array in arrays], dim=axis)


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


def backpropagate(*pairs: tuple[Tensor, Tensor], scale: float = 1.0) -> None:
    """Send gradients back from outputs, in one pass.

    pairs: an output, and its gradient. scale: that the gradients of parameters are to have.
    """
    outputs, gradients = [], []
    for output, gradient in pairs:
        if output.requires_grad:  # not where no Doc has any pieces
            outputs.append(output)
            gradients.append(gradient if scale == 1.0 else gradient * scale)
    if outputs:
        torch.autograd.backward(outputs, gradients)
