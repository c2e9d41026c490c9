"""The pieces of a biLM: a word's characters."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors
from .base import Ids, Pieces, TextPieces, Texts

#: Words whose pieces are remembered; the table is emptied when it is full.
CACHE_SIZE = 1 << 17

#: A word takes 4 bytes for each of them.
MOST_CHARACTERS = 10_000


class CharacterPieces(Pieces):
    """A word is one piece: the bytes of its UTF-8 encoding, between word boundaries.

    Ids are ELMo's, shifted by 1 so that 0 is padding: bytes are 1 to 256, then begin and end of
    sentence, begin and end of word, and word padding. A word longer than max_characters - 2
    bytes keeps its first bytes. What UTF-8 cannot encode (lone surrogates) is left out.

    Source: bilm-tf's `UnicodeCharsVocabulary`.

    max_characters: C. 50 in every published model, and at most MOST_CHARACTERS.
    tokens_to_add: words that are spelt by one raw character id each, 0 to 255; as in AllenNLP's
        indexer. 1 to 31 hardly occur in text.
    Raises E120 for fewer than 3 characters or too many, E121 for an id that is not a byte.

        pieces = CharacterPieces(50)
        ids = pieces.encode_words(["bank", "river"])  # (2, 50)
        pieces.spell(ids)  # ["bank", "river"]
    """

    kind = "characters"
    is_learned = False
    n_ids = 262
    _BEGIN_SENTENCE, _END_SENTENCE, _BEGIN_WORD, _END_WORD, _PADDING = 257, 258, 259, 260, 261

    def __init__(
        self, max_characters: int = 50, *, tokens_to_add: Mapping[str, int] | None = None
    ) -> None:
        if not 3 <= max_characters <= MOST_CHARACTERS:
            message = Errors.E120.format(max_characters=max_characters, most=MOST_CHARACTERS)
            raise ValueError(message)
        self.n_characters: int = max_characters
        self.tokens_to_add = dict(tokens_to_add or {})
        for word, i in self.tokens_to_add.items():
            if not 0 <= i < 256:
                raise ValueError(Errors.E121.format(word=word, id=i))
        self._cache: dict[str, Ids] = {}
        self._special = dict(zip(("<S>", "</S>"), self.boundaries, strict=True))
        self._special |= {word: self._row([i + 1]) for word, i in self.tokens_to_add.items()}

    @property
    def boundaries(self) -> tuple[Ids, Ids]:
        return self._row([self._BEGIN_SENTENCE]), self._row([self._END_SENTENCE])

    @property
    def content(self) -> str:
        return json.dumps(self.to_json())

    def encode(self, texts: Texts) -> TextPieces:
        has_piece = ~texts.is_space
        spaces = texts.is_space.tolist()
        words = [word for word, space in zip(texts.words, spaces, strict=True) if not space]
        before = np.concatenate([[0], np.cumsum(has_piece)])  # pieces before each token
        return TextPieces(
            ids=self.encode_words(words),
            offsets=np.stack([texts.starts, texts.ends], axis=1)[has_piece],
            starts=before[:-1],
            lengths=has_piece.astype(np.int64),
            document_lengths=np.diff(before[np.cumsum(texts.n_tokens)], prepend=0),
        )

    def encode_words(self, words: Sequence[str]) -> Ids:
        """One piece for each word. (W, C)"""
        if len(self._cache) > CACHE_SIZE:
            self._cache = {}
        cache = self._cache  # another thread may put an empty one in its place
        cache.update((word, self._encode(word)) for word in set(words) if word not in cache)
        blank = np.zeros((0, self.n_characters), dtype=np.int32)
        return np.concatenate([blank, *(cache[word] for word in words)])

    def encode_sequence(self, words: Sequence[str]) -> Ids:
        """The pieces of a sentence between its boundaries. (T, C)"""
        begin, end = self.boundaries
        return np.concatenate([begin[None], self.encode_words(words), end[None]])

    def is_lossy(self, ids: Ids) -> NDArray[np.bool_]:
        # A word that fills its row may also fit exactly; those few are counted as well.
        filled: NDArray[np.bool_] = ids[:, -1] == self._END_WORD
        return filled

    def spell(self, ids: Ids) -> list[str]:
        special = {row.tobytes(): word for word, row in self._special.items()}
        return [special.get(row.tobytes()) or _read_utf8(row) for row in ids]

    def to_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "max_characters": self.n_characters,
            "tokens_to_add": self.tokens_to_add,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CharacterPieces":
        return cls(data["max_characters"], tokens_to_add=data["tokens_to_add"])

    def _encode(self, word: str) -> Ids:
        """(1, C)"""
        return (self._special[word] if word in self._special else self._row(_utf8(word)))[None]

    def _row(self, characters: Iterable[int]) -> Ids:
        row = np.full(self.n_characters, self._PADDING, dtype=np.int32)
        kept = list(characters)[: self.n_characters - 2]
        row[: len(kept) + 2] = [self._BEGIN_WORD, *kept, self._END_WORD]
        return row

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": {}}


def build_character_pieces(
    *, max_characters: int = 50, tokens_to_add: Sequence[Sequence[str | int]] | None = None
) -> Pieces:
    """`spacy-ctxemb.CharacterPieces.v1`: a word is one piece, of max_characters characters.

    tokens_to_add: [word, id] each, words that are one character of their own; ids below 32 are
        rare in text. Not an object: as its keys, spaCy's configs could not hold all words.
    """
    added = {str(word): int(i) for word, i in tokens_to_add or ()}
    for word in added:
        if "$" in word:
            raise ValueError(Errors.E122.format(word=word))
    return CharacterPieces(max_characters, tokens_to_add=added)


def _utf8(word: str) -> list[int]:
    """Ids of a word's bytes, which are the bytes plus 1."""
    return [byte + 1 for byte in word.encode("utf8", "ignore")]


def _read_utf8(row: Ids) -> str:
    """The bytes of a row as text, without a character that was cut."""
    return bytes(i - 1 for i in row.tolist() if i <= 256).decode("utf8", "ignore")
