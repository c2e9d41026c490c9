"""Products of matrices that are rounded to whole numbers of 8 bits, on a CPU."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

#: The least scale of rows, for those of equal numbers.
TINY = 1e-12

#: q -> q W^T of whole numbers. q: (n, in). Returns (n, out).
WholeProduct = Callable[[Tensor], Tensor]


def pack_int8(
    weight: Tensor,
    bias: Tensor | None,
    columns: Tensor | None = None,
    pack_whole: Callable[[Tensor], WholeProduct] | None = None,
) -> Callable[[Tensor], Tensor]:
    """x W^T + b, with most of x and W rounded to 8 bits. No gradient.

    Each row of W has a scale. Each row of x has a scale and an offset, so that all 255 numbers
    serve: after GELU next to none is negative.

    columns: those of x with the largest numbers, which would leave few of the 255 to the others.
    They stay in fp32. Source: Dettmers et al. 2022, "LLM.int8(): 8-bit Matrix Multiplication for
    Transformers at Scale", section 3.2.

    weight: (out, in), fp32; bias: (out,) or None; columns: their numbers, (k,).
    pack_whole: makes the product with the rounded weight; None for the ordinary one.
    """
    weight = weight.detach()
    if columns is None:
        columns = torch.arange(0)
    added = weight.new_zeros(len(weight)) if bias is None else bias.detach()
    exact = weight[:, columns].T  # (k, out)
    kept = weight.new_ones(weight.size(1)).index_fill(0, columns, 0.0)
    weight = weight * kept
    scales = weight.abs().amax(dim=1).clamp(min=TINY) / 127  # (out,)
    rounded = (weight / scales[:, None]).round_()
    of_offsets = scales * rounded.sum(dim=1)  # (out,)
    exact = torch.cat([exact, of_offsets[None], added[None]])  # (k + 2, out)
    multiply = (pack_whole or pack_integers)(rounded)

    def product(x: Tensor) -> Tensor:
        some, x = x[:, columns], x * kept
        least, largest = x.amin(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)
        scale = ((largest - least) / 254).clamp_(min=TINY)  # (n, 1)
        offset = ((largest + least) / (2 * scale)).round_()
        # An offset that was rounded down by a half would make 128 of the largest number.
        whole = multiply((x / scale).sub_(offset).round_().clamp_(-127, 127))
        factors = torch.cat([some, offset * scale, torch.ones_like(scale)], dim=1)
        return whole.to(x.dtype).mul_(scale).mul_(scales).addmm_(factors, exact)

    return product


def pack_integers(weight: Tensor) -> WholeProduct:
    """The product with a weight of whole numbers from -127 to 127. (out, in)"""
    if weight.size(1) == 1:  # which PyTorch 2.13 multiplies wrongly on CPUs with VNNI
        widened = pack_integers(F.pad(weight, (0, 1)))
        return lambda q: widened(F.pad(q, (0, 1)))
    columns = weight.to(torch.int8).T
    return lambda q: torch._int_mm(q.to(torch.int8), columns)


def has_int8_products() -> bool:
    """Whether the CPU adds up products of 8 bits in one step (VNNI); without, PyTorch's are many
    times slower than those in fp32."""
    return bool(torch.cpu._is_vnni_supported())
