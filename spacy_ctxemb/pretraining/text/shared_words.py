"""Words that several kinds of pieces share: word k of a text in one is word k in another.

Tokens may share pieces in one of them, and have none in another. So a shared word is a run of
tokens that has pieces of its own in all of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...pieces.base import Ints, TextPieces
from ...windows.pieces_to_windows import ranges

Bools = NDArray[np.bool_]


class SharedWords(NamedTuple):
    """The shared words in one kind of pieces.

    kept: (P,), whether a piece is in one: those of a document are unless it has no shared word.
    word_starts: of the kept pieces, whether one begins a word. sentence_lengths: (S,), in these.
    """

    kept: Bools
    word_starts: Bools
    sentence_lengths: Ints


def share_words(
    kinds: Sequence[TextPieces], n_tokens: Ints, sentence_starts: Ints
) -> list[SharedWords]:
    """Find the words that all kinds of pieces share, in each of them.

    A token begins a word where it has pieces in all kinds, and none of them is of a token before
    it. Other tokens, and pieces that no token has, are of the word before them; at the beginning
    of a document, of its first word. A word belongs to the sentence in which it begins.

    n_tokens: of each document. sentence_starts: (S,), the first token of each sentence.
    """
    words = np.flatnonzero(np.logical_and.reduce([begins_alone(pieces) for pieces in kinds]))
    documents = np.searchsorted(np.cumsum(n_tokens), words, side="right")
    sentences = np.searchsorted(sentence_starts, words, side="right") - 1
    return [divide(pieces, words, documents, sentences, len(sentence_starts)) for pieces in kinds]


def begins_alone(pieces: TextPieces) -> Bools:
    """Tell which tokens have pieces, all behind those of the tokens before. (W,)"""
    has_pieces = pieces.lengths > 0
    ends = np.where(has_pieces, pieces.starts + pieces.lengths, 0)
    reached = np.maximum.accumulate(np.concatenate([[0], ends]))[:-1]
    found: Bools = has_pieces & (pieces.starts >= reached)
    return found


def divide(
    pieces: TextPieces, words: Ints, documents: Ints, sentences: Ints, n_sentences: int
) -> SharedWords:
    """Divide the pieces of documents among their words.

    words: (K,), the first token of each. documents, sentences: (K,), where each begins.
    """
    document_ends = np.cumsum(pieces.document_lengths)
    is_first = np.diff(documents, prepend=-1) > 0
    document_starts = (document_ends - pieces.document_lengths)[documents]
    first = np.where(is_first, document_starts, pieces.starts[words])  # (K,), of its pieces
    is_last = np.append(is_first[1:], True)[: len(words)]
    sizes = (
        np.where(is_last, document_ends[documents], np.append(first[1:], 0)[: len(words)]) - first
    )
    kept = np.zeros(len(pieces.ids), dtype=np.bool_)
    kept[ranges(first, sizes)] = True
    word_starts = np.zeros(len(kept), dtype=np.bool_)
    word_starts[first] = True
    lengths = np.bincount(sentences, weights=sizes, minlength=n_sentences).astype(np.int64)
    return SharedWords(kept, word_starts[kept], lengths)
