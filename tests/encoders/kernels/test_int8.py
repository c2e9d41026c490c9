"""Products in 8 bits equal those of rounded numbers, and are near the exact ones."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from spacy_ctxemb.encoders.kernels import linear
from spacy_ctxemb.encoders.kernels.int8 import has_int8_products, pack_int8, pack_integers
from spacy_ctxemb.encoders.kernels.linear import pack_whole


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def round_weight(weight: Tensor) -> Tensor:
    """Each row a multiple of its scale."""
    scales = weight.abs().amax(dim=1, keepdim=True) / 127
    return (weight / scales).round() * scales


def round_rows(x: Tensor) -> Tensor:
    """Each row a multiple of its scale, 254 of which lie between its least and its largest."""
    range_ = x.amax(dim=1, keepdim=True) - x.amin(dim=1, keepdim=True)
    scale = (range_ / 254).clamp(min=1e-12)
    return (x / scale).round() * scale


@pytest.mark.parametrize("pack", [pack_integers, pack_whole])
def test_no_number_is_beyond_127(pack: Any) -> None:
    """The offset, 0.5, is rounded to 0. Then 127.5 would become 128, in 8 bits -128."""
    y = pack_int8(torch.eye(2), None, None, pack)(torch.tensor([[127.5, -126.5]]))
    torch.testing.assert_close(y, torch.tensor([[127.0, -126.0]]), rtol=0, atol=0.51)


@pytest.mark.parametrize("n", [0, 1, 5, 300])
@pytest.mark.parametrize("width", [2, 7, 24])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("columns", [None, [], [1], [0, 1]])
def test_the_product_is_that_of_rounded_rows(
    n: int, width: int, has_bias: bool, columns: list[int] | None
) -> None:
    x, weight = draw(n, width), draw(10, width, seed=1)
    x[:, 1:] = x[:, 1:].relu() * 5.0 + 1.0
    x[:1] = 0.0
    bias = draw(10, seed=2) if has_bias else None
    chosen = None if columns is None else torch.tensor(columns, dtype=torch.long)
    y = pack_int8(weight, bias, chosen)(x)
    exact = F.linear(x, weight, bias)
    rest = torch.ones(width).index_fill(0, torch.tensor(columns or [], dtype=torch.long), 0.0)
    if rest.any():
        expected = F.linear(x * (1 - rest), weight, bias)
        expected += round_rows(x * rest) @ round_weight(weight * rest).T
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(y, exact, rtol=0.1, atol=1.0)


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 99), st.sampled_from([1e-6, 1.0, 1e6]))
def test_errors_are_within_half_a_scale_of_each_number(
    n: int, width: int, seed: int, size: float
) -> None:
    x, weight = size * draw(n, width, seed=seed).exp(), draw(9, width, seed=seed + 1)
    error = (pack_int8(weight, None)(x) - x.double() @ weight.double().T).abs()
    of_x = (x.amax(dim=1) - x.amin(dim=1)) / 254  # (n,)
    of_weight = weight.abs().amax(dim=1) / 127  # (out,)
    bound = 0.51 * of_x[:, None] * (weight.abs() + of_weight[:, None]).sum(dim=1)
    bound += 0.51 * of_weight * x.sum(dim=1, keepdim=True)
    assert (error <= bound + 1e-5 * x.sum(dim=1, keepdim=True)).all()


@pytest.mark.parametrize("width", [1, 8, 13, 1536])
@pytest.mark.parametrize("pack", [pack_integers, pack_whole])
def test_whole_numbers_are_multiplied_exactly(pack: object, width: int) -> None:
    """By both routines, so that a CPU with products of 8 bits gives the vectors of one without."""
    q, weight = ((draw(5, width, seed=i) * 50).clamp(-127, 127).round() for i in (0, 1))
    q[0], weight[0] = 127.0, -127.0
    found = pack(weight)(q).float()  # type: ignore[operator]
    torch.testing.assert_close(found, (q.double() @ weight.double().T).float(), rtol=2e-7, atol=0)


def test_slow_integers_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(has_int8_products(), bool)
    q, weight = torch.ones(3, 8), torch.ones(4, 8)
    monkeypatch.setattr(linear, "has_int8_products", lambda: True)
    assert pack_whole(weight)(q).dtype == torch.int32
    monkeypatch.setattr(linear, "has_int8_products", lambda: False)
    monkeypatch.setattr(torch, "_int_mm", pytest.fail)
    with torch.no_grad():
        assert pack_whole(weight)(q).tolist() == [[8.0] * 4] * 3


def test_rows_of_one_number() -> None:
    weight, bias = draw(10, 24), draw(10, seed=1)
    x = torch.tensor([0.0, 1.0, -1e6, 3e-5])[:, None].expand(4, 24)
    y = pack_int8(weight, bias)(x)
    assert torch.equal(y[0], bias)
    torch.testing.assert_close(y, F.linear(x, round_weight(weight), bias), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("columns", [[3], [4]])
def test_what_is_not_finite_stays_in_its_row(value: float, columns: list[int]) -> None:
    x, product = draw(3, 24), pack_int8(draw(10, 24, seed=1), None, torch.tensor(columns))
    expected = product(x)
    x[1, 3] = value
    y = product(x)
    assert not y[1].isfinite().any()
    assert torch.equal(y[::2], expected[::2])


def test_one_sided_rows_have_all_levels() -> None:
    """Half of them would serve without an offset, and errors be twice as large."""
    x, weight = draw(200, 256).relu(), draw(32, 256, seed=1)
    weight = round_weight(weight)  # the errors are those of x
    scale = x.amax(dim=1, keepdim=True) / 127
    halves = (x / scale).round() * scale
    exact = x @ weight.T
    error = (pack_int8(weight, None)(x) - exact).norm()
    assert 0.0 < error < 0.6 * (halves @ weight.T - exact).norm()


def test_large_columns_take_nothing_from_the_others() -> None:
    x, weight = draw(50, 64), draw(32, 64, seed=1)
    x[:, 5] *= 100.0
    exact = F.linear(x, weight)
    errors = [
        (pack_int8(weight, None, columns)(x) - exact).norm()
        for columns in (None, torch.tensor([5]))
    ]
    assert errors[1] < 0.1 * errors[0]
