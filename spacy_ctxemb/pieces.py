"""Pieces: what takes one time step of an encoder. A word's characters, or parts of words.

Pieces are made from words, one spaCy token at a time, so that each token owns its pieces.
"""

import json
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from .errors import Errors
from .piece_training import count_words, learn_word_pieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = NDArray[np.int32]

#: Words whose pieces are remembered; the table is emptied when it is full.
CACHE_SIZE = 1 << 17


class PieceIds(NamedTuple):
    """The pieces of a list of words.

    ids: (P,) or (P, C).
    lengths: (W,), pieces of each word; 0 for a word of white space.
    """

    ids: Ids
    lengths: NDArray[np.int64]


class Pieces(ABC):
    """Turns words into piece ids.

    n_ids: ids are in [0, n_ids); 0 is padding.
    n_characters: C, where a piece is a row of character ids; else None.
    """

    #: Name in serialised form.
    kind: ClassVar[str]
    #: Whether they hold more than their settings: a vocabulary.
    is_learned: ClassVar[bool]

    n_ids: int
    n_characters: int | None

    def __init__(self) -> None:
        self._cache: dict[str, Ids] = {}

    @property
    @abstractmethod
    def boundaries(self) -> tuple[Ids, Ids]:
        """The pieces put before and after a window: () or (C,) each."""

    @abstractmethod
    def split(self, words: Sequence[str]) -> list[Ids]:
        """Pieces of each distinct word: (n,) or (n, C) each, n at least 1."""

    @abstractmethod
    def is_lossy(self, ids: Ids) -> NDArray[np.bool_]:
        """Which pieces do not spell all of their text: unknown or cut short. (P,)"""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """Everything that `pieces_from_json` needs to build an equal object."""

    def encode(self, words: Sequence[str]) -> PieceIds:
        """Encode the words of a document; a word of white space has no pieces."""
        if len(self._cache) > CACHE_SIZE:
            self._cache = {}
        cache = self._cache  # another thread may put an empty one in its place
        unseen = [w for w in dict.fromkeys(words) if w not in cache and not w.isspace()]
        cache.update(zip(unseen, self.split(unseen), strict=True) if unseen else ())
        rows = [self.blank if word.isspace() else cache[word] for word in words]
        lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
        return PieceIds(np.concatenate(rows) if rows else self.blank, lengths)

    def encode_sequence(self, words: Sequence[str]) -> Ids:
        """The pieces of a sentence between its boundaries. (T,) or (T, C)"""
        begin, end = self.boundaries
        return np.concatenate([begin[None], self.encode(words).ids, end[None]])

    @property
    def blank(self) -> Ids:
        """No pieces: (0,) or (0, C)."""
        shape = (0,) if self.n_characters is None else (0, self.n_characters)
        return np.zeros(shape, dtype=np.int32)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": {}}


class CharacterPieces(Pieces):
    """A word is one piece: the bytes of its UTF-8 encoding, between word boundaries.

    Ids are ELMo's, shifted by 1 so that 0 is padding: bytes are 1 to 256, then begin and end of
    sentence, begin and end of word, and word padding. A word longer than max_characters - 2
    bytes keeps its first bytes. What UTF-8 cannot encode (lone surrogates) is left out.

    Source: bilm-tf's `UnicodeCharsVocabulary`.

    max_characters: C. 50 in every published model.
    tokens_to_add: words that are spelt by one raw character id each, 0 to 255; as in AllenNLP's
        indexer. 1 to 31 hardly occur in text.
    """

    kind = "characters"
    is_learned = False
    n_ids = 262
    _BEGIN_SENTENCE, _END_SENTENCE, _BEGIN_WORD, _END_WORD, _PADDING = 257, 258, 259, 260, 261

    def __init__(
        self, max_characters: int = 50, *, tokens_to_add: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        if max_characters < 3:
            raise ValueError(Errors.E006.format(max_characters=max_characters))
        self.n_characters: int = max_characters
        self.tokens_to_add = dict(tokens_to_add or {})
        for word, i in self.tokens_to_add.items():
            if not 0 <= i < 256:
                raise ValueError(Errors.E080.format(word=word, id=i))
        self._special = dict(zip(("<S>", "</S>"), self.boundaries, strict=True))
        self._special |= {word: self._row([i + 1]) for word, i in self.tokens_to_add.items()}

    @property
    def boundaries(self) -> tuple[Ids, Ids]:
        return self._row([self._BEGIN_SENTENCE]), self._row([self._END_SENTENCE])

    def split(self, words: Sequence[str]) -> list[Ids]:
        return [
            (self._special[word] if word in self._special else self._row(_utf8(word)))[None]
            for word in words
        ]

    def is_lossy(self, ids: Ids) -> NDArray[np.bool_]:
        # A word that fills its row may also fit exactly; those few are counted as well.
        filled: NDArray[np.bool_] = ids[:, -1] == self._END_WORD
        return filled

    def to_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "max_characters": self.n_characters,
            "tokens_to_add": self.tokens_to_add,
        }

    def _row(self, characters: Iterable[int]) -> Ids:
        row = np.full(self.n_characters, self._PADDING, dtype=np.int32)
        kept = list(characters)[: self.n_characters - 2]
        row[: len(kept) + 2] = [self._BEGIN_WORD, *kept, self._END_WORD]
        return row


class WordPieces(Pieces):
    """Words in parts from a trained vocabulary, longest match first.

    Source: Devlin et al. 2019, "BERT", section 3; Wu et al. 2016, "Google's Neural Machine
    Translation System", section 4.1.

    vocab_size: the largest vocabulary this object accepts; the encoder's table has this size.
    lowercase: whether a vocabulary it learns folds case and accents, as BERT's uncased models do.
    """

    kind = "wordpieces"
    is_learned = True
    n_characters = None
    PADDING, UNKNOWN, BEGIN, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
    SPECIAL: ClassVar[tuple[str, ...]] = (PADDING, UNKNOWN, BEGIN, END, MASK)

    def __init__(self, vocab_size: int, *, lowercase: bool = False) -> None:
        super().__init__()
        self.lowercase = lowercase
        self.n_ids = vocab_size
        self._tokenizer: Tokenizer | None = None
        self._json: str | None = None

    @property
    def is_trained(self) -> bool:
        """Whether there is a vocabulary."""
        return self._json is not None

    @property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer of the `tokenizers` library behind this object."""
        if self._tokenizer is None:
            if self._json is None:
                raise RuntimeError(Errors.E007)
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_str(self._json)
        return self._tokenizer

    @property
    def boundaries(self) -> tuple[Ids, Ids]:
        begin, end = self._id(self.BEGIN), self._id(self.END)
        return np.array(begin, dtype=np.int32), np.array(end, dtype=np.int32)

    @property
    def mask_id(self) -> int:
        """The id of the piece that hides another one in masked language modelling."""
        return self._id(self.MASK)

    @property
    def n_special(self) -> int:
        """The ids from this one on belong to ordinary pieces."""
        return 1 + max(self._id(piece) for piece in self.SPECIAL)

    @property
    def n_trained(self) -> int:
        """Pieces of the trained vocabulary, at most n_ids."""
        return int(self.tokenizer.get_vocab_size())

    def train(self, batches: Iterable[Sequence[str]], *, progress: bool = False) -> None:
        """Learn a vocabulary of at most n_ids pieces.

        batches: words, or lines of text, any number at a time.
        progress: show a bar.
        """
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

        tokenizer = Tokenizer(models.WordPiece(unk_token=self.UNKNOWN))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=self.lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        counts = count_words(tokenizer, (_encodable(text) for batch in batches for text in batch))
        vocabulary = learn_word_pieces(
            counts,
            size=self.n_ids,
            special=self.SPECIAL,
            letters=string.ascii_lowercase if self.lowercase else string.ascii_letters,
            progress=progress,
        )
        tokenizer.model = models.WordPiece(vocabulary, unk_token=self.UNKNOWN)
        tokenizer.add_special_tokens(list(self.SPECIAL))
        self.load(tokenizer.to_str())

    def load(self, tokenizer_json: str, *, source: str = "the tokenizer") -> None:
        """Take the vocabulary of a tokenizer in the `tokenizers` library's JSON format."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises bare Exception
            raise ValueError(Errors.E008.format(source=source, reason=error)) from error
        missing = [piece for piece in self.SPECIAL if tokenizer.token_to_id(piece) is None]
        if missing:
            raise ValueError(Errors.E009.format(source=source, missing=missing))
        if tokenizer.token_to_id(self.PADDING) != 0:
            found = tokenizer.token_to_id(self.PADDING)
            raise ValueError(Errors.E042.format(source=source, piece=self.PADDING, id=found))
        if tokenizer.get_vocab_size() > self.n_ids:
            size = tokenizer.get_vocab_size()
            raise ValueError(Errors.E010.format(source=source, size=size, limit=self.n_ids))
        # Both would change how many pieces a word has.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer, self._json = tokenizer, tokenizer.to_str()
        self._cache = {}

    def split(self, words: Sequence[str]) -> list[Ids]:
        # A word that normalises to nothing still gets a piece, so that its token has a vector.
        unknown = np.array([self._id(self.UNKNOWN)], dtype=np.int32)
        encodings = self.tokenizer.encode_batch(
            [_encodable(word) for word in words], add_special_tokens=False
        )
        return [
            np.array(encoding.ids, dtype=np.int32) if encoding.ids else unknown
            for encoding in encodings
        ]

    def is_lossy(self, ids: Ids) -> NDArray[np.bool_]:
        return ids == self._id(self.UNKNOWN)

    def _id(self, piece: str) -> int:
        return cast(int, self.tokenizer.token_to_id(piece))

    def starts_word(self) -> NDArray[np.bool_]:
        """Whether each id begins a word, not continuing one. (n_ids,)"""
        starts = np.ones(self.n_ids, dtype=np.bool_)
        for piece, i in self.tokenizer.get_vocab().items():
            starts[i] = not piece.startswith("##")
        return starts

    def to_json(self) -> dict[str, object]:
        tokenizer = None if self._json is None else json.loads(self._json)
        return {
            "kind": self.kind,
            "vocab_size": self.n_ids,
            "lowercase": self.lowercase,
            "tokenizer": tokenizer,
        }

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_tokenizer": None}


def pieces_from_json(data: dict[str, object]) -> Pieces:
    """Build the object that `to_json` described."""
    return _KINDS[str(data["kind"])](data)


def _characters_from_json(data: dict[str, object]) -> CharacterPieces:
    added = cast(dict[str, int], data["tokens_to_add"])
    return CharacterPieces(int(str(data["max_characters"])), tokens_to_add=added)


def _word_pieces_from_json(data: dict[str, object]) -> WordPieces:
    pieces = WordPieces(int(str(data["vocab_size"])), lowercase=bool(data["lowercase"]))
    if data["tokenizer"] is not None:
        pieces.load(json.dumps(data["tokenizer"], ensure_ascii=False))
    return pieces


_KINDS: dict[str, Callable[[dict[str, object]], Pieces]] = {
    CharacterPieces.kind: _characters_from_json,
    WordPieces.kind: _word_pieces_from_json,
}


def _utf8(word: str) -> list[int]:
    """Ids of a word's bytes, which are the bytes plus 1."""
    return [byte + 1 for byte in word.encode("utf8", "ignore")]


def _encodable(text: str) -> str:
    """The text without what UTF-8 cannot encode."""
    return text.encode("utf8", "ignore").decode("utf8")
