"""The position-wise layers of a Transformer's blocks."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import Errors
from .kernels.linear import Linear

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": torch.relu,
    "silu": F.silu,
}

#: The same functions, which write over their argument. A second array of that size would cost as
#: much again, since the system clears its pages each time.
IN_PLACE: dict[str, Activation] = {
    "gelu": torch.ops.aten.gelu_,
    "gelu_tanh": partial(torch.ops.aten.gelu_, approximate="tanh"),
    "relu": torch.relu_,
    "silu": partial(F.silu, inplace=True),
}

#: Rows at a time in inference: what lies between the two products stays in the CPU's cache.
CHUNK = 1024


def check_activation(name: str) -> str:
    """The same name. Raises E100 for an unknown activation."""
    if name not in ACTIVATIONS:
        raise ValueError(Errors.E100.format(name=name, options=list(ACTIVATIONS)))
    return name


def activate(name: str, x: Tensor) -> Tensor:
    """The activation of this name. Without gradients it writes over x."""
    return (ACTIVATIONS if torch.is_grad_enabled() else IN_PLACE)[name](x)


class FeedForward(nn.Module):
    """W_2 f(W_1 x + b_1) + b_2.

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.3.
    """

    def __init__(self, width: int, feedforward_width: int, activation: str) -> None:
        super().__init__()
        self.activation = check_activation(activation)
        self.inner = Linear(width, feedforward_width)
        self.outer = Linear(feedforward_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) to (N, D)."""
        return in_chunks(self.run, x)

    def run(self, x: Tensor) -> Tensor:
        return self.outer(activate(self.activation, self.inner(x)))


class GatedFeedForward(nn.Module):
    """W_3 (f(W_1 x) * W_2 x), without biases; `inner` holds W_1 above W_2.

    Source: Shazeer 2020, "GLU Variants Improve Transformer", section 2.
    """

    def __init__(self, width: int, feedforward_width: int, activation: str) -> None:
        super().__init__()
        self.activation = check_activation(activation)
        self.inner = Linear(width, 2 * feedforward_width, bias=False)
        self.outer = Linear(feedforward_width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) to (N, D)."""
        return in_chunks(self.run, x)

    def run(self, x: Tensor) -> Tensor:
        activated, factor = self.inner(x).chunk(2, dim=-1)
        return self.outer(activate(self.activation, activated) * factor)


def in_chunks(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of rows, in inference some rows at a time."""
    # torch.compile would make another version for each number of chunks.
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or len(x) <= CHUNK:
        return function(x)
    return torch.cat([function(rows) for rows in x.split(CHUNK)])


class EmbeddingTable(nn.Embedding):
    """PyTorch's own, without values on the meta device.

    To draw normal numbers there, PyTorch imports its compiler, which takes seconds.
    """

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class LayerNorm(nn.LayerNorm):
    """PyTorch's, also of values in a lower precision than its weights, as inference passes them.

    PyTorch takes this mix on a CPU, where it computes in fp32; elsewhere it does not.

    Source: Ba et al. 2016, "Layer Normalization".
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D), of the same type."""
        if x.device.type == "cpu" or x.dtype == self.weight.dtype:
            return super().forward(x)
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)
