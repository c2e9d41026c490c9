"""Matrix products on a CPU, by the fastest routine that PyTorch carries.

PyTorch sends fp32 products to its BLAS library, which on some CPUs (AMD's with AVX-512) reaches
less than half of what oneDNN reaches. `torch.compile` calls oneDNN's linear operator where it
wins; here it is called by its name. Where the operator is missing, for other types and on other
devices the product is PyTorch's ordinary one.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..derived_weights import Derived
from .int8 import WholeProduct, has_int8_products, pack_int8, pack_integers

#: x, b -> x W^T + b. x: (n, in); b: (out,) or None. Returns (n, out).
Product = Callable[[Tensor, Tensor | None], Tensor]

#: Rows for which the memory layout of a weight is chosen. It serves fewer and more as well.
TYPICAL_ROWS = 128


class Linear(nn.Linear):
    """x W^T + b; in inference with a weight that was packed for its product once."""

    def __init__(self, in_width: int, out_width: int, *, bias: bool = True) -> None:
        super().__init__(in_width, out_width, bias=bias)
        self.dtype: torch.dtype | None = None
        self.exact_columns: Tensor | None = None
        self._product = Derived(build_product)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in) to (n, out)."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return linear(x, self.weight, self.bias)
        return self._product.get(self)(x)

    def set_dtype(self, dtype: torch.dtype | None, exact_columns: Tensor | None = None) -> None:
        """The type of both factors in inference, bfloat16 or int8; None for that of the weight.

        exact_columns: of x, which int8 leaves as they are. See `pack_int8`.
        """
        self.dtype, self.exact_columns = dtype, exact_columns
        self._product.drop()


class LinearFunction(torch.autograd.Function):
    """x W^T + b and its gradients, by the routine of `multiply`. (n, in), (out, in), (out,)

    Under torch.autocast factors and results of all products have its type; the gradients of W and
    b have theirs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype = get_product_dtype(weight)
        ctx.dtypes = x.dtype, weight.dtype
        x, weight = x.to(dtype), weight.to(dtype)
        ctx.save_for_backward(x, weight)
        return multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        x_dtype, weight_dtype = ctx.dtypes
        needs_dx, needs_dw, needs_db = ctx.needs_input_grad
        return (
            multiply(dy, weight.T).to(x_dtype) if needs_dx else None,
            sum_outer(dy, x).to(weight_dtype) if needs_dw else None,
            sum_rows(dy).to(weight_dtype) if needs_db else None,
        )


def build_product(module: Linear) -> Callable[[Tensor], Tensor]:
    """The module's function, with its weights as they are now."""
    dtype = module.dtype or module.weight.dtype
    if dtype == torch.int8:
        if module.weight.device.type == "cpu":
            return pack_int8(module.weight, module.bias, module.exact_columns, pack_whole)
        dtype = module.weight.dtype
    product = pack(module.weight, dtype)
    if module.bias is None:
        return lambda x: product(x, None)
    bias = module.bias.detach()
    biases = {bias.dtype: bias, dtype: bias.to(dtype)}
    return lambda x: product(x, biases[x.dtype])


def get_product_dtype(weight: Tensor) -> torch.dtype:
    """The type of the factors of products in training: that of torch.autocast where it is on.

    Weights, and what is added up over products, keep the weight's own type.
    """
    kind = weight.device.type
    if weight.dtype == torch.float32 and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return weight.dtype


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b, which passes gradients on. x: (n, in); weight: (out, in). Returns (n, out)."""
    if not torch.is_grad_enabled():
        return multiply(x, weight, bias)
    y: Tensor = LinearFunction.apply(x, weight, bias)  # type: ignore[no-untyped-call] # PyTorch's
    return y


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b without gradients. x: (n, in); weight: (out, in); bias: (out,), of any type."""
    if not has_onednn_product(x):
        return F.linear(x, weight, None if bias is None else bias.to(x.dtype))
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def sum_outer(a: Tensor, b: Tensor) -> Tensor:
    """a^T b, the gradient of a weight. a: (n, out); b: (n, in). Returns (out, in)."""
    if not len(a):  # which oneDNN refuses
        return a.new_zeros(a.size(1), b.size(1))
    if a.dtype == torch.float32:
        return multiply(b.T, a.T).T  # this way round oneDNN has less to copy
    return torch.mm(a.T, b)


def sum_rows(a: Tensor) -> Tensor:
    """The gradient of a bias. (n, out) to (out,)"""
    if a.dtype == torch.float32:
        return a.sum(dim=0)
    return torch.mm(a.new_ones(1, len(a)), a)[0]  # PyTorch's sum of bf16 columns is slow on CPUs


def product_with(weight: Tensor) -> Product:
    """The product with a weight as it lies in memory. weight: (out, in)."""
    return lambda x, bias: multiply(x, weight, bias)


def pack(weight: Tensor, dtype: torch.dtype) -> Product:
    """A product with a weight that is brought into oneDNN's memory layout once. No gradient.

    weight: (out, in). dtype: both factors are converted to it; bias and result stay as they are.
    """
    weight = weight.detach().to(dtype).contiguous()
    if has_onednn_product(weight):
        weight = torch.ops.mkldnn._reorder_linear_weight(weight, TYPICAL_ROWS)

    def product(x: Tensor, bias: Tensor | None) -> Tensor:
        with torch.no_grad():
            if x.dtype == dtype:
                return multiply(x, weight, bias)
            y = multiply(x.to(dtype), weight, None)
            return y.to(x.dtype) if bias is None else y + bias

    return product


def pack_whole(weight: Tensor) -> WholeProduct:
    """The product of whole numbers with some from -127 to 127, by the faster routine. (out, in)

    Sums below 2^24 are exact in fp32, and those of a row of 1,040 numbers and less are.
    """
    if has_int8_products():
        return pack_integers(weight)
    product = pack(weight, weight.dtype)
    return lambda q: product(q, None)


def round_up(n: int) -> int:
    """The next of 32 numbers of rows for each doubling. oneDNN keeps a program of half a megabyte
    for each number that it has met, and much of it until the process ends."""
    step = 1 << max(n.bit_length() - 6, 0)
    return -(-n // step) * step


def has_onednn_product(x: Tensor) -> bool:
    """Whether oneDNN's linear operator takes tensors of this device and type."""
    if x.device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if torch.compiler.is_compiling():  # its compiler does not know the operator, and chooses itself
        return False
    if x.dtype == torch.bfloat16:
        return has_bf16_products()
    return x.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def has_bf16_products() -> bool:
    """Whether oneDNN multiplies in bf16 on this CPU; without, it is slower than fp32."""
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
