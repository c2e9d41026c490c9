"""The precision of training: the type of the factors of products, and the scale of the loss.

Source: Micikevicius et al. 2018, "Mixed Precision Training", sections 3.1 and 3.2.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import Errors

#: The types of the factors of products in training; None for that of the weights.
DTYPES: dict[str, torch.dtype | None] = {
    "fp32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

#: Between these the scale of the loss stays. Below, it is not the scale that gradients suffer from.
SMALLEST, LARGEST = 1.0, 2.0**24


def check_precision(name: str) -> str:
    """The name of a precision there is."""
    if name not in DTYPES:
        raise ValueError(Errors.E207.format(precision=name, options=list(DTYPES)))
    return name


def cast_products(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Inside, products in a forward pass have factors of this precision.

    Weights, norms, softmax and an LSTM's gates stay as they are. In fp16 the loss needs a scale.
    """
    dtype = DTYPES[precision]
    if dtype is None:
        return nullcontext()
    if dtype == torch.float16 and device.type != "cuda":
        raise ValueError(Errors.E208.format(device=device.type))
    return torch.autocast(device.type, dtype)


@dataclass
class LossScale:
    """A factor of the loss, and so of all gradients, that keeps them from vanishing in fp16.

    It changes between updates only, so that the gradients of several batches add up. As in
    PyTorch's GradScaler, which belongs to an optimizer of PyTorch, it grows after `interval`
    updates whose gradients were finite, and shrinks after one where they were not.

    value: the factor, 1 or more.
    """

    value: float = 2.0**16
    interval: int = 2000
    n_finite: int = 0

    def unscale(self, gradients: Iterable[Tensor]) -> None:
        """Take the factor off, once before each update."""
        for gradient in gradients:
            gradient.mul_(1.0 / self.value)

    def grow(self) -> None:
        """Count an update whose gradients were finite."""
        self.n_finite += 1
        if self.n_finite == self.interval:
            self.n_finite = 0
            self.value = min(self.value * 2.0, LARGEST)

    def shrink(self) -> bool:
        """After gradients that were not finite. Returns whether there was room to shrink."""
        self.n_finite = 0
        had_room = self.value > SMALLEST
        self.value = max(self.value * 0.5, SMALLEST)
        return had_room
