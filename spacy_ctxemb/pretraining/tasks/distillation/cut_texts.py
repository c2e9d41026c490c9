"""Texts that two encoders can read: neighbouring sentences, with the same words for both."""

from collections.abc import Iterator, Sequence

import numpy as np

from ....errors import Errors
from ....pieces.base import Ints
from ...text.token_store import TokenStore
from ..masked_lm.examples import pack_sentences

#: The place of each encoder's store, and of what is computed of it.
PUPIL, TEACHER = 0, 1


def cut_texts(stores: Sequence[TokenStore], sizes: Sequence[int]) -> Ints:
    """Cut each document into texts: as many sentences as fit, or words where one is too long.

    stores: of pupil and teacher. sizes: pieces of a text at most, in each; a word that has more is
        a text of its own, and loses its last ones.

    Returns the first piece of each text in each store, and the one after its last. (n, 2, 2)
    Raises E417 if the stores do not have the same words.
    """
    validate_words(stores)
    runs = pack_sentences(stores, sizes, n_least=1)  # (n, 2)
    before = [np.concatenate([[0], store.sentence_ends]) for store in stores]
    bounds = np.stack([ends[runs] for ends in before], axis=1)  # (n, 2, 2)
    is_long = (bounds[..., 1] - bounds[..., 0] > sizes).any(axis=1)
    parts = [part for text in bounds[is_long] for part in cut_words(stores, text, sizes)]
    return np.concatenate([bounds[~is_long], np.array(parts, dtype=np.int64).reshape(-1, 2, 2)])


def cut_words(stores: Sequence[TokenStore], bounds: Ints, sizes: Sequence[int]) -> Iterator[Ints]:
    """Cut a sentence into as many words as fit, then the next ones. bounds: (2, 2), as returned."""
    begins, ends = [], []
    for store, (first, last) in zip(stores, bounds.tolist(), strict=True):
        words = first + np.flatnonzero(store.word_starts[first:last])
        begins.append(words)
        ends.append(np.append(words[1:], last))
    word, n_words = 0, len(begins[0])
    while word < n_words:
        limits = [int(begins[i][word]) + size for i, size in enumerate(sizes)]
        fitting = [np.searchsorted(ends[i], limit, side="right") for i, limit in enumerate(limits)]
        behind = max(int(min(fitting)), word + 1)
        yield np.array(
            [[begins[i][word], min(ends[i][behind - 1], limits[i])] for i in range(len(stores))]
        )
        word = behind


def validate_words(stores: Sequence[TokenStore]) -> None:
    """Raise E417 unless all stores have as many words in each sentence, and the same documents."""
    first, *others = stores
    for other in others:
        is_same = np.array_equal(first.document_ends, other.document_ends)
        if not is_same or not np.array_equal(count_words(first), count_words(other)):
            raise ValueError(
                Errors.E417.format(
                    path=first.folder,
                    other=other.folder,
                    n_words=int(first.word_starts.sum()),
                    n_others=int(other.word_starts.sum()),
                )
            )


def count_words(store: TokenStore) -> Ints:
    """Count the words of each sentence. A piece that begins a sentence begins a word. (S,)"""
    begins = np.concatenate([[0], store.sentence_ends[:-1]])
    n_words = np.add.reduceat(store.word_starts, begins, dtype=np.int64)
    return np.where(store.word_starts[begins], n_words, -1)
