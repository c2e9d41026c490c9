"""A question and a text as the encoder reads them together: one window, or several that overlap."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ints = NDArray[np.int64]


class Pair(NamedTuple):
    """The pieces of a question and of a text with P pieces.

    before, after: what each window has before and after its stretch of the text: ids and segments,
        (2, T) each. text: the same of the text, (2, P).
    spans: (P, 2), where the word of each piece begins and ends in the text, in characters; as the
        tokenizer sees words.
    windows: the pieces of the text that each window has, as (first, the one after its last).
    """

    before: Ints
    text: Ints
    after: Ints
    spans: Ints
    windows: list[tuple[int, int]]

    def join(self, window: tuple[int, int]) -> Ints:
        """Ids and segments of a window: (2, T)."""
        start, end = window
        return np.concatenate([self.before, self.text[:, start:end], self.after], axis=1)


def encode_pair(
    tokenizer: "Tokenizer", question: str, text: str, *, max_length: int, overlap: int
) -> Pair:
    """Put a text behind a question, as the tokenizer does for pairs.

    max_length: pieces in a window. overlap: pieces that neighbouring windows share; half of the
        room for the text, where a question leaves no more.
    Raises E384 for a question that leaves no room.
    """
    encoding = tokenizer.encode(question, text)
    rows = np.array([encoding.ids, encoding.type_ids], dtype=np.int64)
    places = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
    first, last = (places[0], places[-1] + 1) if places else (len(encoding), len(encoding))
    n_pieces = last - first
    room = max_length - (len(encoding) - n_pieces)
    if room < 1:
        n = len(encoding) - n_pieces
        raise ValueError(Errors.E384.format(n=n, max_length=max_length))
    return Pair(
        rows[:, :first],
        rows[:, first:last],
        rows[:, last:],
        find_words(encoding.offsets[first:last], encoding.word_ids[first:last]),
        lay_windows(n_pieces, room, overlap if overlap < room else room // 2),
    )


def lay_windows(n: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Stretches of `room` pieces up to the end of n; the last one may be shorter."""
    starts = range(0, max(n - overlap, 1), room - overlap)
    return [(start, min(start + room, n)) for start in starts]


def find_words(offsets: list[tuple[int, int]], words: list[int | None]) -> Ints:
    """The characters of the word that each piece lies in; its own where it lies in none. (P, 2)"""
    first: dict[object, int] = {}
    last: dict[object, int] = {}
    keys = [(i, None) if word is None else word for i, word in enumerate(words)]
    for key, (start, end) in zip(keys, offsets, strict=True):
        first[key], last[key] = min(first.get(key, start), start), max(last.get(key, end), end)
    return np.array([(first[key], last[key]) for key in keys], dtype=np.int64).reshape(-1, 2)
