"""Products give the same numbers by whichever routine."""

import pytest
import torch
from torch.nn import functional as F

from spacy_ctxemb.encoders.kernels.linear import (
    Linear,
    has_bf16_products,
    has_onednn_product,
    linear,
    pack,
    product_with,
    sum_outer,
    sum_rows,
)

from ...tiny import randomise


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [0, 9])
def test_sums_over_rows(n: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(n, 5).to(dtype), torch.randn(n, 4).to(dtype)
    with torch.no_grad():
        outer, rows = sum_outer(a, b), sum_rows(a)
    torch.testing.assert_close(outer, (a.double().T @ b.double()).to(dtype))
    torch.testing.assert_close(rows, a.double().sum(dim=0).to(dtype))


class TestUnderAutocast:
    """What is small enough for bf16 to be exact shows which values are rounded, and where."""

    def test_factors_are_rounded_and_sums_are_not(self) -> None:
        x = torch.tensor([[1.0, 2**-9, -1.0]], requires_grad=True)
        module = Linear(3, 1)
        with torch.no_grad():
            module.weight[:] = torch.tensor([[1.0, 1.0, 1.0 + 2**-9]])  # bf16 rounds it to 1
            module.bias.zero_()
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        assert y.dtype == torch.bfloat16
        assert y.tolist() == [[2**-9]]  # though bf16 rounds 1 + 2^-9 to 1
        y.backward(torch.ones(1, 1, dtype=torch.bfloat16))
        for tensor, expected in ((x, [[1.0] * 3]), (module.bias, [1.0])):
            assert tensor.grad is not None and tensor.grad.dtype == torch.float32
            assert tensor.grad.tolist() == expected
        assert module.weight.grad is not None and module.weight.grad.dtype == torch.float32

    @pytest.mark.parametrize("has_bias", [False, True])
    def test_gradients_are_near_those_of_fp32(self, has_bias: bool) -> None:
        torch.manual_seed(0)
        module = randomise(Linear(64, 48, bias=has_bias))
        x, dy = torch.randn(32, 64, requires_grad=True), torch.randn(32, 48)
        inputs = [x, *module.parameters()]
        exact = torch.autograd.grad(module(x), inputs, dy)
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        for found, expected in zip(torch.autograd.grad(y, inputs, dy.to(y)), exact, strict=True):
            assert found.dtype == torch.float32
            assert 0.0 < (found - expected).norm() / expected.norm() < 0.01

    def test_other_types_of_weights_stay_as_they_are(self) -> None:
        module = randomise(Linear(5, 7)).double()
        x = torch.randn(3, 5, dtype=torch.float64)
        exact = module(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(module(x), exact)


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


def test_a_build_without_onednn_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its operators are not there then."""
    assert isinstance(has_bf16_products(), bool)
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", pytest.fail)
    assert has_bf16_products() is False
