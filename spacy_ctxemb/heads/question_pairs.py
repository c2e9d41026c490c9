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
    offsets: (P, 2), where each piece begins and ends in the text, in characters.
    windows: the pieces of the text that each window has, as (first, the one after its last).
    spans: of each window, (n, 2): where the word of each piece begins and ends in the text, in
        characters; a word as the tokenizer sees it, and no more of it than the window has.
    """

    before: Ints
    text: Ints
    after: Ints
    offsets: Ints
    windows: list[tuple[int, int]]
    spans: list[Ints]

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
    whole = tokenizer.encode(question, text)
    rows = np.array([whole.ids, whole.type_ids], dtype=np.int64)
    own = [i for i, sequence in enumerate(whole.sequence_ids) if sequence == 1]
    first, last = (own[0], own[-1] + 1) if own else (len(whole), len(whole))
    before, after = rows[:, :first], rows[:, last:]
    if not tokenizer.num_special_tokens_to_add(is_pair=True):  # its file has a single text alone
        before, after = add_separators(before, tokenizer)
    n = before.shape[1] + after.shape[1]
    room = max_length - n
    if room < 1:
        raise ValueError(Errors.E384.format(n=n, max_length=max_length))
    windows = lay_windows(last - first, room, overlap if overlap < room else room // 2)
    offsets, words = whole.offsets[first:last], whole.word_ids[first:last]
    spans = [find_words(offsets[start:end], words[start:end]) for start, end in windows]
    places = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    return Pair(before, rows[:, first:last], after, places, windows, spans)


def add_separators(question: Ints, tokenizer: "Tokenizer") -> tuple[Ints, Ints]:
    """What stands before and after a text in BERT and its family: [CLS] A [SEP] B [SEP], and in
    RoBERTa and its kin <s> A </s> </s> B </s>."""
    begin, end = tokenizer.encode("").ids
    is_roberta = tokenizer.id_to_token(end) == "</s>"
    n_between = 2 if is_roberta else 1
    ids = np.array([begin, *question[0], *[end] * n_between])
    return np.stack([ids, np.zeros_like(ids)]), np.array([[end], [0 if is_roberta else 1]])


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
