"""Sequences hold all of a text once, whole sentences of one document where these fit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.pretraining.tasks.masked_lm.examples import Sequences

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
