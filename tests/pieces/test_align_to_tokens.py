"""Alignment of pieces to tokens against a slow double loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spacy_ctxemb.pieces.align_to_tokens import align

Ints = NDArray[np.int64]

TEXT_LENGTH = 24


@st.composite
def pieces_P2(draw: st.DrawFn) -> Ints:
    """Characters of pieces in order: gaps, empty pieces and overlaps included."""
    n = draw(st.integers(0, 12))
    columns = [sorted(draw(st.lists(characters, min_size=n, max_size=n))) for _ in range(2)]
    starts, ends = np.array(columns, dtype=np.int64)
    return np.stack([starts, np.maximum(starts, ends)], axis=1)


@st.composite
def tokens_W2(draw: st.DrawFn) -> Ints:
    """Characters of tokens, none empty: in order, and without overlaps."""
    cuts = sorted(draw(st.sets(characters, max_size=16)))
    pairs = list(zip(cuts[:-1], cuts[1:], strict=True))
    kept = [pair for pair in pairs if draw(st.booleans())]
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


characters = st.integers(0, TEXT_LENGTH)


@given(pieces_P2(), tokens_W2())
def test_a_token_has_the_pieces_it_shares_a_character_with(pieces: Ints, tokens: Ints) -> None:
    first, lengths = align(pieces[:, 0], pieces[:, 1], tokens[:, 0], tokens[:, 1])
    found = [list(range(i, i + n)) for i, n in zip(first.tolist(), lengths.tolist(), strict=True)]
    for (start, end), stretch in zip(tokens.tolist(), found, strict=True):
        shared = [
            i
            for i, (first, last) in enumerate(pieces.tolist())
            if max(first, start) < min(last, end)
        ]
        # Between them there may be empty pieces, which have no character.
        assert [i for i in stretch if pieces[i, 0] < pieces[i, 1]] == shared
        assert all(start <= pieces[i, 0] <= end for i in stretch if i not in shared)


def test_pieces_out_of_order_are_counted_from_the_furthest() -> None:
    """The third piece starts before the second one: it is taken to start with it."""
    starts, ends = np.array([[0, 2], [3, 5], [2, 4], [5, 6]]).T
    first, lengths = align(starts, ends, np.array([0, 2, 3, 5]), np.array([2, 3, 5, 6]))
    assert first.tolist() == [0, 1, 1, 3]
    assert lengths.tolist() == [1, 0, 2, 1]


def test_a_token_without_characters_has_no_pieces() -> None:
    starts, ends = np.array([[0, 2], [2, 2], [2, 4]]).T
    assert align(starts, ends, np.array([2]), np.array([2]))[1].tolist() == [0]


def test_no_pieces_and_no_tokens() -> None:
    none, some = np.zeros(0, dtype=np.int64), np.array([3])
    assert [x.tolist() for x in align(none, none, some, some + 2)] == [[0], [0]]
    assert [x.tolist() for x in align(some, some + 2, none, none)] == [[], []]
