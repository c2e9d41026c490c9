"""Pooling against a plain loop over tokens."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from torch import Tensor

from spacy_ctxemb.embedder.token_pooling import POOLINGS, get_pooling

from ..strategies import pieces_PD_stretches_W
from ..tiny import check_gradient

LOOPS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda rows: sum(rows) / len(rows),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
    "max": lambda rows: torch.stack([max(column) for column in rows.T]),
}


def test_every_pooling_is_tested() -> None:
    assert set(LOOPS) == set(POOLINGS)


@pytest.mark.parametrize("name", LOOPS)
@given(drawn=pieces_PD_stretches_W())
def test_pooling_equals_a_loop(name: str, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    pieces, starts, lengths = drawn
    found = get_pooling(name)(pieces, starts, lengths)
    assert found.shape == (len(lengths), pieces.size(1)) and found.dtype == pieces.dtype
    for row, start, n in zip(found, starts.tolist(), lengths.tolist(), strict=True):
        rows = pieces[start : start + n]
        expected = LOOPS[name](rows) if n else torch.zeros(pieces.size(1), dtype=pieces.dtype)
        torch.testing.assert_close(row, expected)


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize(
    "starts, lengths",
    [
        ([0, 0, 2, 3, 3, 7], [0, 2, 1, 0, 4, 0]),  # none shared
        ([0, 1, 1, 3, 3, 9], [2, 2, 1, 4, 3, 0]),  # shared; some of no token
        ([2, 2, 2], [3, 3, 3]),  # the same for all tokens
    ],
)
def test_gradient_equals_finite_differences(
    name: str, starts: list[int], lengths: list[int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    pieces = torch.nn.Parameter(torch.randn(9, 3, generator=generator, dtype=torch.float64))
    pool = get_pooling(name)
    tokens = torch.tensor(starts), torch.tensor(lengths)
    check_gradient(lambda: pool(pieces, *tokens).pow(3).sum(), [("pieces", pieces)])


@pytest.mark.parametrize("name", LOOPS)
def test_no_tokens_leave_no_gradient(name: str) -> None:
    pieces = torch.ones(2, 3, requires_grad=True)
    for tokens in ([], [0]):  # none, and one without pieces
        lengths = torch.tensor(tokens, dtype=torch.int64)
        get_pooling(name)(pieces, lengths, lengths).sum().backward()
    assert pieces.grad is not None and not pieces.grad.any()


def test_the_largest_of_negative_values_is_negative() -> None:
    pieces = torch.tensor([[-3.0], [-1.0], [-2.0]])
    found = get_pooling("max")(pieces, torch.tensor([0, 2, 2]), torch.tensor([2, 0, 1]))
    assert found.tolist() == [[-1.0], [0.0], [-2.0]]


def test_an_unknown_pooling_is_refused() -> None:
    message = r"\[E151\] Unknown pooling 'sum'\. Use one of \['mean', 'first', 'last', 'max'\]"
    with pytest.raises(ValueError, match=message):
        get_pooling("sum")
