"""Sequences hold all of a text once, whole sentences of one document where these fit.

Half of the pairs follow each other; the others are of two documents.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spacy_ctxemb.pretraining.tasks.masked_lm.examples import SentencePairs, Sequences, shorten

from ...stores import lengths_of_sentences, make_store, read_spans

RNG = np.random.default_rng(0)


def read(lengths: list[list[int]], max_pieces: int) -> list[tuple[int, int]]:
    sequences = Sequences(make_store(lengths), max_pieces=max_pieces)
    examples = [sequences.read(i, RNG) for i in range(len(sequences))]
    assert all(example.is_next is None for example in examples)
    return [span for example in examples for span in example.spans]


@given(lengths_of_sentences, st.integers(8, 30))
def test_each_piece_is_read_once(lengths: list[list[int]], max_pieces: int) -> None:
    spans = read(lengths, max_pieces)
    pieces = [i for start, end in spans for i in range(start, end)]
    assert pieces == list(range(sum(map(sum, lengths))))
    assert all(0 < end - start <= max_pieces - 2 for start, end in spans)


@given(lengths_of_sentences, st.integers(8, 30))
def test_sequences_are_as_long_as_sentences_allow(
    lengths: list[list[int]], max_pieces: int
) -> None:
    size = max_pieces - 2
    expected: list[tuple[int, int]] = []
    for document in read_spans(lengths):
        begins_sequence = True
        for start, end in document:
            n_parts = -(-(end - start) // size)
            if n_parts > 1:
                cuts = [start + (end - start) * i // n_parts for i in range(n_parts + 1)]
                expected += zip(cuts, cuts[1:], strict=False)
            elif begins_sequence or end - expected[-1][0] > size:
                expected.append((start, end))
            else:
                expected[-1] = expected[-1][0], end
            begins_sequence = n_parts > 1
    assert read(lengths, max_pieces) == expected


@given(lengths_of_sentences, st.integers(8, 40), st.integers(0, 1000))
def test_pairs_are_neighbours_or_of_two_documents(
    lengths: list[list[int]], max_pieces: int, seed: int
) -> None:
    assume(len(lengths) > 1 and any(len(document) > 1 for document in lengths))
    pairs = SentencePairs(make_store(lengths), max_pieces=max_pieces)
    documents = read_spans(lengths)
    document_of = {
        i: n for n, document in enumerate(documents) for span in document for i in range(*span)
    }
    ends = {end for document in documents for _, end in document}
    rng = np.random.default_rng(seed)
    for i in range(len(pairs)):
        (a, b), is_next = pairs.read(i, rng)
        assert all(end > start for start, end in (a, b))
        n = a[1] - a[0] + b[1] - b[0]
        assert n <= max_pieces - 3
        assert len({document_of[piece] for piece in range(*a)}) == 1
        assert len({document_of[piece] for piece in range(*b)}) == 1
        assert (document_of[a[0]] == document_of[b[0]]) == is_next
        if n < max_pieces - 3:  # nothing was cut
            assert a[1] in ends and b[1] in ends
            assert b[0] == a[1] or not is_next


def test_half_of_them_follow_each_other() -> None:
    lengths = [[3] * 40] * 50
    pairs = SentencePairs(make_store(lengths), max_pieces=24)
    rng = np.random.default_rng(0)
    examples = [pairs.read(i, rng) for i in range(len(pairs)) for _ in range(10)]
    n = len(examples)
    assert n > 2500
    share = np.mean([example.is_next for example in examples])
    assert share == pytest.approx(0.5, abs=4 * 0.5 / n**0.5)
    # The other documents are drawn alike, and so are the sentences of them.
    others = np.array([e.spans[1][0] for e in examples if not e.is_next])
    for counts in (np.bincount(others // 120, minlength=50), np.bincount(others % 120 // 3)):
        expected = len(others) / len(counts)
        assert len(counts) in (40, 50)
        assert ((counts - expected) ** 2 / expected).sum() < 2 * len(counts)  # chi-squared
    # Both halves are as long: nothing tells them apart without reading.
    sizes = [
        [e.spans[1][1] - e.spans[1][0] for e in examples if e.is_next == is_next]
        for is_next in (True, False)
    ]
    assert np.mean(sizes[0]) == pytest.approx(np.mean(sizes[1]), rel=0.05)


def test_any_sentence_may_end_the_first_text() -> None:
    pairs = SentencePairs(make_store([[2] * 5, [2] * 5]), max_pieces=13)
    rng = np.random.default_rng(0)
    ends = [pairs.read(0, rng).spans[0][1] for _ in range(2000)]
    assert np.bincount(ends)[2::2].tolist() == pytest.approx([500] * 4, abs=80)


@given(*[st.integers(1, 30)] * 2, st.integers(5, 40), st.integers(0, 100))
def test_the_longer_text_is_shortened(n_a: int, n_b: int, size: int, seed: int) -> None:
    a, b = (100, 100 + n_a), (500, 500 + n_b)
    kept = shorten(a, b, size, np.random.default_rng(seed))
    for (start, end), (first, last) in zip((a, b), kept, strict=True):
        assert start <= first < last <= end
    n_kept = [last - first for first, last in kept]
    assert sum(n_kept) == min(n_a + n_b, size)
    for n, n_other, n_found in zip((n_a, n_b), (n_b, n_a), n_kept, strict=True):
        if n_found < n:  # no longer than need be, and not at the other's cost
            assert n_found >= size // 2 or n_found == size - n_other


def test_pieces_are_taken_from_both_ends() -> None:
    rng = np.random.default_rng(0)
    starts = [shorten((0, 30), (50, 55), 25, rng)[0][0] for _ in range(400)]
    assert np.mean(starts) == pytest.approx(5, abs=0.4)
    assert 0 < min(starts) + 1 and max(starts) <= 10


@pytest.mark.parametrize("lengths", [[[3, 4, 5]], [[3], [4]]])
def test_two_documents_with_neighbours_are_needed(lengths: list[list[int]]) -> None:
    n, n_sentences = len(lengths), sum(map(len, lengths))
    with pytest.raises(ValueError, match=rf"E412\].*; store has {n}, and {n_sentences} sentences"):
        SentencePairs(make_store(lengths), max_pieces=20)
