from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pretraining.tasks.bilm.batches import (
    NOTHING,
    BiLMText,
    DirectionStream,
    get_boundaries,
    lay_rows,
    make_units,
)
from spacy_ctxemb.pretraining.text.shuffle import Queue

WORDS = [f"w{i}" for i in range(9)]


def make_store(documents: list[list[int]]) -> SimpleNamespace:
    """Documents of sentences, given by their lengths; every word is w0 ... w8 in turn."""
    sentences = [length for document in documents for length in document]
    pieces = CharacterPieces(6)
    return SimpleNamespace(
        ids=np.arange(sum(sentences), dtype=np.int32) % len(WORDS),
        sentence_ends=np.cumsum(sentences),
        document_ends=np.cumsum([len(document) for document in documents]),
        types=WORDS,
        type_counts=np.full(len(WORDS), 5),
        type_characters=pieces.encode_words(WORDS).astype(np.int16),
    )


def make_text(documents: list[list[int]]) -> BiLMText:
    return BiLMText(make_store(documents), CharacterPieces(6), ["<S>", "</S>", "<UNK>", *WORDS[:6]])


documents = st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=5), min_size=1, max_size=6)


@given(documents, st.integers(1, 4), st.integers(0, 3))
def test_units_join_neighbours_inside_documents(
    lengths: list[list[int]], max_sentences: int, seed: int
) -> None:
    store = make_store(lengths)
    ends = make_units(store, max_sentences=max_sentences, seed=seed).ends
    assert set(ends) <= set(store.sentence_ends)
    assert set(np.cumsum([sum(document) for document in lengths])) <= set(ends)
    per_unit = np.diff(np.searchsorted(store.sentence_ends, ends, side="right"), prepend=0)
    assert per_unit.min() >= 1 and per_unit.max() <= max_sentences


def test_units_of_one_sentence_are_the_sentences() -> None:
    store = make_store([[3, 2], [4]])
    assert make_units(store, max_sentences=1, seed=0).ends.tolist() == [3, 5, 9]


@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 5))
def test_queues_of_all_shards_hold_every_unit_once_an_epoch(
    n_units: int, n_shards: int, seed: int
) -> None:
    queues = [Queue(n_units, seed=seed, shard=s, n_shards=n_shards) for s in range(n_shards)]
    taken = [queue.take() for _ in range(2 * n_units) for queue in queues][: 2 * n_units]
    assert Counter(taken) == Counter({unit: 2 for unit in range(n_units)})


@pytest.mark.parametrize("is_backward", [False, True])
@given(documents, st.integers(1, 4), st.integers(1, 6))
def test_streams_read_whole_units(
    is_backward: bool, lengths: list[list[int]], n_rows: int, n_steps: int
) -> None:
    store = make_store(lengths)
    units = make_units(store, max_sentences=1, seed=0)
    queue = Queue(len(units), seed=1, shard=0, n_shards=1)
    stream = DirectionStream(store, units, queue, n_rows=n_rows, is_backward=is_backward)
    steps = [stream.next_steps(n_steps) for _ in range(12)]
    read, predicted = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    begin_type, end_type = get_boundaries(store)
    first, last = (end_type, begin_type) if is_backward else (begin_type, end_type)
    allowed = [store.ids[units.span(i)].tolist() for i in range(len(units))]
    for row in range(n_rows):
        assert read[0, row] == first
        ends = np.flatnonzero(predicted[:, row] == last)
        begin = 0
        for end in ends:  # each unit between boundaries, shifted by one
            words = read[begin + 1 : end + 1, row].tolist()
            assert predicted[begin:end, row].tolist() == words
            assert (words[::-1] if is_backward else words) in allowed
            begin = end + 1
            if begin < len(read):
                assert read[begin, row] == first


@given(documents, st.integers(1, 5))
def test_a_stream_goes_on_from_its_state(lengths: list[list[int]], n_before: int) -> None:
    store = make_store(lengths)
    units = make_units(store, max_sentences=2, seed=0)

    def open_stream() -> DirectionStream:
        queue = Queue(len(units), seed=1, shard=0, n_shards=2)
        return DirectionStream(store, units, queue, n_rows=3, is_backward=True)

    stream, resumed = open_stream(), open_stream()
    for _ in range(n_before):
        stream.next_steps(4)
    for name, array in resumed.place.items():
        array[...] = stream.place[name]
    for expected, found in zip(stream.next_steps(9), resumed.next_steps(9), strict=True):
        np.testing.assert_array_equal(found, expected)


@given(documents, st.integers(1, 5), st.integers(1, 3))
def test_held_out_rows_hold_every_word_once(
    lengths: list[list[int]], n_rows: int, n_ranks: int
) -> None:
    store = make_store(lengths)
    begin, _ = get_boundaries(store)
    counts: Counter[int] = Counter()
    for rank in range(n_ranks):
        read, predicted = lay_rows(store, range(rank, n_rows, n_ranks), n_rows)
        for direction in (0, 1):
            targets = predicted[direction]
            # What is predicted is what is read next in the same row, or a boundary.
            following = targets[:-1][read[direction, 1:] < begin]
            np.testing.assert_array_equal(
                following, read[direction, 1:][read[direction, 1:] < begin]
            )
            counts.update(targets[(targets != NOTHING) & (targets < begin)].tolist())
    assert counts == Counter({word: 2 * n for word, n in Counter(store.ids.tolist()).items()})


def test_batches_spell_words_and_number_targets() -> None:
    text = make_text([[3]])
    begin_type, end_type = get_boundaries(text.store)
    read = np.array([[[begin_type], [0], [8]], [[end_type], [8], [0]]])
    predicted = np.array([[[0], [8], [end_type]], [[8], [0], [NOTHING]]])
    batch = text.make_batch(read, predicted)
    words = batch["characters"][batch["words"]]
    pieces = CharacterPieces(6)
    begin, end = pieces.boundaries
    np.testing.assert_array_equal(
        words[0].numpy(), np.stack([begin, *pieces.encode_words(["w0", "w8"])])
    )
    np.testing.assert_array_equal(
        words[1].numpy(), np.stack([end, *pieces.encode_words(["w8", "w0"])])
    )
    # <S> 0, </S> 1, <UNK> 2 (w8 is not in the vocabulary), w0 3
    assert batch["targets"].tolist() == [[3, 2, 1], [2, 3, -100]]


def test_a_text_of_one_word_is_enough() -> None:
    store = make_store([[1]])
    begin, end = get_boundaries(store)
    units = make_units(store, max_sentences=1, seed=0)
    queue = Queue(1, seed=0, shard=0, n_shards=1)
    stream = DirectionStream(store, units, queue, n_rows=2, is_backward=False)
    read, predicted = stream.next_steps(4)
    assert read[:, 0].tolist() == [begin, 0, begin, 0]
    assert predicted[:, 0].tolist() == [0, end, 0, end]
