"""Products give the same numbers by whichever routine."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spacy_ctxemb.encoders.linear import (
    Linear,
    has_onednn_product,
    linear,
    pack,
    pack_int8,
    product_with,
    sum_outer,
)

from ..tiny import randomise


@pytest.mark.parametrize("n", [0, 1, 3, 200])
@pytest.mark.parametrize("has_bias", [False, True])
def test_products_equal_pytorchs(n: int, has_bias: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(n, 5), torch.randn(7, 5)
    bias = torch.randn(7) if has_bias else None
    expected = F.linear(x, weight, bias)
    with torch.inference_mode():
        for y in (
            linear(x, weight, bias),
            product_with(weight)(x, bias),
            pack(weight, torch.float32)(x, bias),
        ):
            torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)


def test_sums_of_outer_products() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(9, 5), torch.randn(9, 4)
    with torch.no_grad():
        torch.testing.assert_close(sum_outer(a, b), a.T @ b)


def test_bf16_rounds_factors_only() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(9, 64), torch.randn(7, 64), 1000 * torch.randn(7)
    y = pack(weight, torch.bfloat16)(x, bias)
    assert y.dtype == torch.float32
    # Were the bias rounded as well, the error would be 2.
    torch.testing.assert_close(y, F.linear(x, weight, bias), rtol=0, atol=0.3)
    torch.testing.assert_close(
        pack(weight, torch.bfloat16)(x, None), x @ weight.T, rtol=0, atol=0.3
    )


def test_gradients_pass_through() -> None:
    x, weight = torch.randn(3, 5, requires_grad=True), torch.randn(7, 5)
    linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(dim=0).expand(3, 5))


def test_other_types_take_the_ordinary_way() -> None:
    x, weight = torch.randn(3, 5).double(), torch.randn(7, 5).double()
    assert not has_onednn_product(x)
    with torch.no_grad():
        assert torch.equal(linear(x, weight), F.linear(x, weight))
        assert torch.equal(pack(weight, torch.float64)(x, None), F.linear(x, weight))


class TestInt8:
    @pytest.mark.parametrize("n", [1, 5, 300])
    @pytest.mark.parametrize("bias", [False, True])
    def test_the_product_is_that_of_rounded_rows(self, n: int, bias: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        x, weight = (torch.randn(rows, 24, generator=generator) for rows in (n, 10))
        x[0, :20] = 0.0
        b = torch.randn(10, generator=generator) if bias else None

        def round_rows(a: Tensor) -> Tensor:
            scale = a.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            return (a / scale).round() * scale

        expected = F.linear(round_rows(x), round_rows(weight), b)
        torch.testing.assert_close(pack_int8(weight, b)(x), expected, rtol=1e-4, atol=1e-5)
        exact = F.linear(x, weight, b)
        assert 0.0 < (expected - exact).abs().mean() < 0.05


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("frozen", ["nothing", "x", "weight"])
def test_gradients_equal_pytorchs(has_bias: bool, frozen: str) -> None:
    torch.manual_seed(0)
    module = randomise(Linear(5, 7, bias=has_bias))
    module.weight.requires_grad_(frozen != "weight")
    x = torch.randn(3, 5, requires_grad=frozen != "x")
    dy = torch.randn(3, 7)
    results = []
    for y in (module(x), F.linear(x, module.weight, module.bias)):
        x.grad = None
        module.zero_grad()
        y.backward(dy)
        gradients = [None if p.grad is None else p.grad for p in (x, *module.parameters())]
        results.append([y.detach(), *gradients])
    for found, expected in zip(*results, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            torch.testing.assert_close(found, expected)
