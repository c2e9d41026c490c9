"""Pooling against a plain loop over tokens."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from torch import Tensor

from spacy_ctxemb.pooling import POOLINGS, get_pooling

from .strategies import pieces_PD_lengths_W
from .tiny import check_gradient

LOOPS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda rows: sum(rows) / len(rows),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
    "max": lambda rows: torch.stack([max(column) for column in rows.T]),
}


def test_every_pooling_is_tested() -> None:
    assert set(LOOPS) == set(POOLINGS)


@pytest.mark.parametrize("name", LOOPS)
@given(drawn=pieces_PD_lengths_W())
def test_pooling_equals_a_loop(name: str, drawn: tuple[Tensor, Tensor]) -> None:
    pieces, lengths = drawn
    found = get_pooling(name)(pieces, lengths)
    assert found.shape == (len(lengths), pieces.size(1)) and found.dtype == pieces.dtype
    start = 0
    for row, n in zip(found, lengths.tolist(), strict=True):
        rows = pieces[start : start + n]
        expected = LOOPS[name](rows) if n else torch.zeros(pieces.size(1), dtype=pieces.dtype)
        torch.testing.assert_close(row, expected)
        start += n


@pytest.mark.parametrize("name", LOOPS)
def test_gradient_equals_finite_differences(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    pieces = torch.nn.Parameter(torch.randn(7, 3, generator=generator, dtype=torch.float64))
    lengths = torch.tensor([0, 2, 1, 0, 4, 0])
    pool = get_pooling(name)
    check_gradient(lambda: pool(pieces, lengths).pow(3).sum(), [("pieces", pieces)])


def test_the_largest_of_negative_values_is_negative() -> None:
    pieces = torch.tensor([[-3.0], [-1.0], [-2.0]])
    assert get_pooling("max")(pieces, torch.tensor([2, 0, 1])).tolist() == [[-1.0], [0.0], [-2.0]]


def test_an_unknown_pooling_is_refused() -> None:
    message = r"\[E015\] Unknown pooling 'sum'\. Use one of \['mean', 'first', 'last', 'max'\]"
    with pytest.raises(ValueError, match=message):
        get_pooling("sum")
