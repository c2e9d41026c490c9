"""The precision of the blocks of a Transformer in inference."""

import torch
from torch import Tensor, nn

from .kernels.linear import Linear


def to_stream(x: Tensor, dtype: torch.dtype | None) -> Tensor:
    """x in the type in which blocks pass it on in inference."""
    return x if dtype is None or torch.is_grad_enabled() else x.to(dtype)


def set_block_precision(blocks: nn.Module, precision: str) -> torch.dtype | None:
    """Set the types of products; returns that of what blocks pass on, None for the weights' own.

    "medium" and "int8": products of bf16 factors, or of 8 bits, all else in fp32. "bf16":
    everything in bf16, norms computed in fp32.
    """
    dtypes = {"medium": torch.bfloat16, "bf16": torch.bfloat16, "int8": torch.int8}
    dtype = dtypes.get(precision)
    for module in blocks.modules():
        if isinstance(module, Linear):
            module.set_dtype(dtype)
    return dtype if precision == "bf16" else None
