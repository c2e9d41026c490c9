"""Windows: who owns a piece, and what a batch looks like."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from spacy_ctxemb.windows.pieces_to_windows import (
    LEAST_AT_ONCE,
    N_BOUNDARIES,
    Windowing,
    Windows,
    build_windows,
    check_length,
    cut,
    group_spans,
    lay_windows,
    share_out,
)

from ..strategies import lengths_W, windowings
from ..tiny import build_pieces

BEGIN, END, FIRST_ID = 1, 2, 3

sequences = lengths_W(max_length=40, max_size=5)


class Window(NamedTuple):
    """A window read back from a batch: the pieces it reads, and those of them that it owns."""

    reads: list[int]
    owns: list[int]


def build(sequence_lengths: np.ndarray, windowing: Windowing) -> Windows:
    """Windows over ids that say which piece they are, one piece a token."""
    P = int(sequence_lengths.sum())
    ids = np.arange(P, dtype=np.int32) + FIRST_ID
    boundaries = np.array(BEGIN, dtype=np.int32), np.array(END, dtype=np.int32)
    pieces = build_pieces(ids, np.ones(P), sequence_lengths)
    documents = np.arange(len(sequence_lengths))
    return build_windows(pieces, sequence_lengths, documents, boundaries, windowing)


def find_ends(windows: Windows) -> list[tuple[int, int]]:
    """The first and the last window of each sequence that has any."""
    sequences = windows.sequences.tolist()
    numbers = [[i for i, s in enumerate(sequences) if s == one] for one in sorted(set(sequences))]
    return [(some[0], some[-1]) for some in numbers]


def read_back(windows: Windows) -> list[Window]:
    """Every window of every batch, after a check of its layout."""
    found = []
    for ids, mask, rows, pieces, _ in windows.batches:
        B, T = ids.shape
        owned = defaultdict(list)
        places = mask.flatten().nonzero().flatten()[rows]  # in the batch as it is padded
        for place, piece in zip(places.tolist(), pieces.tolist(), strict=True):
            assert ids.flatten()[place] == piece + FIRST_ID
            owned[place // T].append(piece)
        for b in range(B):
            size = int(mask[b].sum())
            assert mask[b].tolist() == [True] * size + [False] * (T - size)
            row = ids[b].tolist()
            assert (row[0], row[size - 1]) == (BEGIN, END)
            assert row[size:] == [0] * (T - size)
            found.append(Window([i - FIRST_ID for i in row[1 : size - 1]], owned[b]))
    return found


@given(sequences, windowings())
def test_each_piece_is_owned_once(lengths: np.ndarray, windowing: Windowing) -> None:
    windows = read_back(build(lengths, windowing))
    assert sorted(piece for window in windows for piece in window.owns) == list(
        range(lengths.sum())
    )


@given(sequences, windowings())
def test_windows_are_stretches_of_one_sequence(lengths: np.ndarray, windowing: Windowing) -> None:
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    for reads, owns in read_back(build(lengths, windowing)):
        assert 0 < len(reads) <= windowing.window
        assert reads == list(range(reads[0], reads[-1] + 1))
        assert len({int(sequence[piece]) for piece in reads}) == 1
        assert owns and set(owns) <= set(reads)


@given(sequences, windowings())
def test_the_owner_gives_the_most_context(lengths: np.ndarray, windowing: Windowing) -> None:
    ends = np.cumsum(lengths)
    edges = {*ends.tolist(), *(ends - lengths).tolist()}

    def context(reads: list[int], piece: int) -> float:
        """Pieces to the nearer edge of a window; the true ends of a sequence are no edges."""
        left = np.inf if reads[0] in edges else piece - reads[0]
        right = np.inf if reads[-1] + 1 in edges else reads[-1] - piece
        return min(left, right)

    windows = read_back(build(lengths, windowing))
    best: dict[int, float] = defaultdict(lambda: -1)
    for window in windows:
        for piece in window.reads:
            best[piece] = max(best[piece], context(window.reads, piece))
    for window in windows:
        for piece in window.owns:
            assert context(window.reads, piece) == best[piece]


@given(sequences, windowings())
def test_windows_of_a_sequence_have_one_length_and_overlap(
    lengths: np.ndarray, windowing: Windowing
) -> None:
    spans = cut(lengths, windowing)
    for i, n in enumerate(lengths.tolist()):
        starts, ends = (x[spans.sequence == i] for x in (spans.start, spans.end))
        if n == 0:
            assert len(starts) == 0
            continue
        assert len(set((ends - starts).tolist())) == 1
        assert ends[0] - starts[0] <= windowing.window
        assert (starts[0], ends[-1]) == (lengths[:i].sum(), lengths[: i + 1].sum())
        assert (ends[:-1] - starts[1:] >= windowing.window - windowing.stride).all()
        fewest = 1 + max(0, -((windowing.window - n) // windowing.stride))
        assert len(starts) == fewest


def test_windows_are_no_longer_than_needed() -> None:
    windowing = Windowing(window=10, stride=8, batch_pieces=100, max_padding=1.0)
    assert lay_windows(10, windowing) == ([0], 10)
    assert lay_windows(11, windowing) == ([0, 4], 7)
    assert lay_windows(18, windowing) == ([0, 8], 10)
    assert lay_windows(20, windowing) == ([0, 6, 12], 8)


@given(sequences, windowings())
def test_batches_stay_within_budget_and_padding(lengths: np.ndarray, windowing: Windowing) -> None:
    for batch in build(lengths, windowing).batches:
        padded = batch.ids.numel()
        assert padded <= windowing.batch_pieces
        if len(batch.ids) > 1:
            assert padded - int(batch.mask.sum()) <= windowing.max_padding * padded


@given(sequences, windowings())
def test_windows_reach_from_end_to_end_of_sequences(
    lengths: np.ndarray, windowing: Windowing
) -> None:
    windows = build(lengths, windowing)
    by_number = {}
    for batch, numbers in ((batch, batch.windows.tolist()) for batch in windows.batches):
        for number, ids, mask in zip(numbers, batch.ids, batch.mask, strict=True):
            by_number[number] = ids[mask][1:-1].tolist()
    assert sorted(by_number) == list(range(len(by_number)))
    ends = np.cumsum(lengths)
    assert [
        (by_number[first][0] - FIRST_ID, by_number[last][-1] + 1 - FIRST_ID)
        for first, last in find_ends(windows)
    ] == [(end - n, end) for end, n in zip(ends.tolist(), lengths.tolist(), strict=True) if n]


def test_empty_sequences_get_windows_where_wanted() -> None:
    windowing = Windowing(4, 4, batch_pieces=100, max_padding=1.0, keep_empty=True)
    windows = build(np.array([0, 2, 0]), windowing)
    assert read_back(windows) == [Window([0, 1], [0, 1]), Window([], []), Window([], [])]
    assert windows.sequences.tolist() == windows.documents.tolist() == [0, 1, 2]
    assert windows.sequence_lengths.tolist() == [0, 2, 0]
    assert windows.batches[0].windows.tolist() == [1, 0, 2]


def test_batches_are_filled() -> None:
    """15 windows of 6 steps fit 4 to a batch of 24 pieces, none of them padded."""
    windows = build(np.full(15, 4), Windowing(window=4, stride=4, batch_pieces=24, max_padding=0.0))
    assert [tuple(batch.ids.shape) for batch in windows.batches] == [(4, 6)] * 3 + [(3, 6)]
    assert all(bool(batch.mask.all()) for batch in windows.batches)


def test_overlap_is_shared_half_and_half() -> None:
    """10 pieces, windows 0-5, 2-7 and 4-9."""
    windowing = Windowing(window=6, stride=3, batch_pieces=100, max_padding=1.0)
    assert read_back(build(np.array([10]), windowing)) == [
        Window([0, 1, 2, 3, 4, 5], [0, 1, 2, 3]),
        Window([2, 3, 4, 5, 6, 7], [4, 5]),
        Window([4, 5, 6, 7, 8, 9], [6, 7, 8, 9]),
    ]


def test_a_window_of_the_longest_size_is_not_cut() -> None:
    windowing = Windowing(window=6, stride=1, batch_pieces=100, max_padding=1.0)
    assert read_back(build(np.array([6]), windowing)) == [Window([*range(6)], [*range(6)])]


@given(st.lists(st.just(0), max_size=3), windowings())
def test_no_pieces_make_no_batches(zeros: list[int], windowing: Windowing) -> None:
    lengths = np.array(zeros, dtype=np.int64)
    windows = build(lengths, windowing)
    assert windows.batches == []
    assert windows.lengths.tolist() == [] and windows.document_lengths.tolist() == zeros


def test_empty_sequences_change_nothing() -> None:
    windowing = Windowing(window=4, stride=2, batch_pieces=30, max_padding=0.5)
    with_empty = build(np.array([0, 7, 0, 0, 3, 0]), windowing)
    without = build(np.array([7, 3]), windowing)
    assert read_back(with_empty) == read_back(without)


def test_characters_are_laid_out_like_ids() -> None:
    ids = np.arange(1, 16, dtype=np.int32).reshape(5, 3)
    boundaries = np.full(3, 100, dtype=np.int32), np.full(3, 200, dtype=np.int32)
    windows = build_windows(
        build_pieces(ids, [1, 0, 1, 1, 1, 1], [3, 2]),
        sequence_lengths=np.array([1, 2, 2]),
        sequence_documents=np.array([0, 0, 1]),
        boundaries=boundaries,
        windowing=Windowing(window=2, stride=1, batch_pieces=12, max_padding=1.0),
    )
    (batch,) = windows.batches
    begin, end, blank = [100] * 3, [200] * 3, [0] * 3
    assert batch.ids.tolist() == [
        [begin, [4, 5, 6], [7, 8, 9], end],
        [begin, [10, 11, 12], [13, 14, 15], end],
        [begin, [1, 2, 3], end, blank],
    ]
    assert batch.mask.tolist() == [[True] * 4, [True] * 4, [True, True, True, False]]
    assert batch.rows.tolist() == [1, 2, 5, 6, 9]
    assert batch.pieces.tolist() == [1, 2, 3, 4, 0]
    assert windows.starts.tolist() == [0, 1, 1, 2, 3, 4]
    assert windows.lengths.tolist() == [1, 0, 1, 1, 1, 1]
    assert windows.document_lengths.tolist() == [3, 2]
    assert windows.sequences.tolist() == [0, 1, 2] and windows.documents.tolist() == [0, 0, 1]
    assert windows.first_pieces.tolist() == [0, 1, 3]
    assert_array_equal(batch.ids.flatten(0, 1)[batch.rows], torch.from_numpy(ids)[batch.pieces])


@pytest.mark.parametrize("stride", [0, 9, -1])
def test_a_stride_that_does_not_fit_is_refused(stride: int) -> None:
    message = (
        rf"\[E140\] A stride of {stride} does not fit a window of 8 pieces.*from 1 to the window"
    )
    with pytest.raises(ValueError, match=message):
        Windowing(window=8, stride=stride, batch_pieces=100, max_padding=0.0)


def test_a_budget_below_one_window_is_refused() -> None:
    message = r"\[E141\] batch_pieces of 9 is less than one window \(10\)"
    with pytest.raises(ValueError, match=message):
        Windowing(window=8, stride=8, batch_pieces=9, max_padding=0.0)
    Windowing(window=8, stride=8, batch_pieces=8 + N_BOUNDARIES, max_padding=0.0)


def test_a_window_longer_than_the_encoder_allows_is_refused() -> None:
    message = r"\[E142\] A window of 31 pieces, and 2 boundary pieces, exceeds .* max_length of 32"
    with pytest.raises(ValueError, match=message):
        check_length(31, 32)
    check_length(30, 32)
    check_length(10_000, None)


@given(
    sizes=st.lists(st.integers(3, 514), max_size=60),
    at_once=st.integers(1, 5),
    batch_pieces=st.integers(514, 9000),
)
def test_batches_at_the_same_time_share_the_pieces_of_one(
    sizes: list[int], at_once: int, batch_pieces: int
) -> None:
    n, limit = share_out(np.array(sizes, dtype=np.int64), batch_pieces, at_once)
    assert 1 <= n <= at_once and n * limit <= batch_pieces
    assert limit >= max(sizes, default=0)
    if n > 1:
        assert sum(sizes) >= n * LEAST_AT_ONCE
        groups = group_spans(np.array(sizes, dtype=np.int64), limit, 1.0)
        assert all(len(group) * max(np.array(sizes)[group]) <= limit for group in groups)


def test_what_fits_into_one_batch_is_shared_out_evenly() -> None:
    sizes = np.full(8, 100)
    assert share_out(sizes, 4096, 2) == (2, 400)
    assert share_out(sizes[:2], 4096, 2) == (1, 4096)
    assert share_out(np.repeat(sizes, 10), 4096, 2) == (2, 2000)
