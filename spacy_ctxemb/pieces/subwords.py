"""Pieces of a text as tokenizers of the `tokenizers` library make them, aligned to tokens."""

import json
import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors
from ..fork_lock import LOCK
from .align_to_tokens import align
from .base import Ids, Pieces, TextPieces, Texts
from .learn_vocabulary import train_byte_pairs, train_word_pieces
from .special_pieces import SpecialPieces, find_special_pieces, read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Where the library is told not to start threads.
THREADS_SWITCH = "TOKENIZERS_PARALLELISM"


class SubwordPieces(Pieces):
    """Parts of a text, by any tokenizer of the `tokenizers` library.

    The whole text is split, white space included, and a token has the pieces that its characters
    lie in. So tokens may share a piece ("cannot" is two tokens), and a piece may belong to none.

    vocab_size: of the encoder's table, not smaller than the tokenizer's vocabulary.

        pieces = SubwordPieces(30522)
        pieces.load(Path("tokenizer.json").read_text(), source="tokenizer.json")
        pieces.tokenizer.encode("A river bank.").tokens
    """

    kind = "subwords"
    is_learned = True
    n_characters = None

    def __init__(self, vocab_size: int) -> None:
        self.n_ids = vocab_size
        self._tokenizer: Tokenizer | None = None
        self._special: SpecialPieces | None = None
        self._json: str | None = None

    @property
    def is_trained(self) -> bool:
        return self._json is not None

    @property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer of the `tokenizers` library. Raises E123 while there is no vocabulary."""
        if self._tokenizer is None:
            if self._json is None:
                raise RuntimeError(Errors.E123.format(pieces=type(self).__name__))
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_str(self._json)
        return self._tokenizer

    @property
    def special(self) -> SpecialPieces:
        """Ids of the special pieces by their purpose. Raises E123 while there is no vocabulary."""
        if self._special is None:
            raise RuntimeError(Errors.E123.format(pieces=type(self).__name__))
        return self._special

    @property
    def boundaries(self) -> tuple[Ids, Ids]:
        begin, end = self.special.begin, self.special.end
        return np.array(begin, dtype=np.int32), np.array(end, dtype=np.int32)

    @property
    def content(self) -> str:
        return self._json or ""  # the same object each time: comparing it costs nothing

    @property
    def mask_id(self) -> int:
        """The id of the piece that hides another one in masked language modelling.

        Raises E127 for a vocabulary without such a piece.
        """
        if self.special.mask is None:
            raise ValueError(Errors.E127)
        return self.special.mask

    @property
    def special_ids(self) -> list[int]:
        """The ids of all special pieces, which spell no text, in order."""
        return self.special.ids

    @property
    def n_trained(self) -> int:
        """All ids are below this one, which is at most n_ids."""
        return self.special.n_ids

    def load(self, tokenizer_json: str, *, source: str = "the tokenizer") -> None:
        """Take the vocabulary of a tokenizer in the `tokenizers` library's JSON format.

        source: where it comes from, for messages. Raises E124, E125 or E128 for a tokenizer that
        cannot be used, E126 for a vocabulary of more than n_ids pieces.
        """
        tokenizer = read_tokenizer(tokenizer_json, source)
        special = find_special_pieces(tokenizer, source)
        if special.n_ids > self.n_ids:
            raise ValueError(
                Errors.E126.format(source=source, size=special.n_ids, limit=self.n_ids)
            )
        self._tokenizer, self._special, self._json = tokenizer, special, tokenizer.to_str()

    def encode(self, texts: Texts) -> TextPieces:
        encodings = self.tokenizer.encode_batch(texts.texts, add_special_tokens=False)
        lengths = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
        P = int(lengths.sum())
        ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), dtype=np.int32, count=P)
        pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
        flat = np.fromiter(chain.from_iterable(pairs), dtype=np.int64, count=2 * P)
        offsets = flat.reshape(P, 2) + np.repeat(texts.offsets, lengths)[:, None]
        first, n_pieces = align(offsets[:, 0], offsets[:, 1], texts.starts, texts.ends)
        n_pieces[texts.is_space] = 0
        return TextPieces(ids, offsets, first, n_pieces, document_lengths=lengths)

    def is_lossy(self, ids: Ids) -> NDArray[np.bool_]:
        unknown = self.special.unknown
        return np.zeros(len(ids), dtype=np.bool_) if unknown is None else ids == unknown

    def spell(self, ids: Ids) -> list[str]:
        return [cast(str, self.tokenizer.id_to_token(i)) for i in ids.tolist()]

    def to_json(self) -> dict[str, object]:
        tokenizer = None if self._json is None else json.loads(self._json)
        return {"kind": self.kind, "vocab_size": self.n_ids, "tokenizer": tokenizer}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "SubwordPieces":
        pieces = cls(**{name: data[name] for name in data if name not in ("kind", "tokenizer")})
        if data["tokenizer"] is not None:
            pieces.load(json.dumps(data["tokenizer"], ensure_ascii=False))
        return pieces

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_tokenizer": None}


class LearnedPieces(SubwordPieces):
    """Pieces from a vocabulary that can be learned. SPECIAL: its special pieces, in order."""

    SPECIAL: ClassVar[tuple[str, ...]]

    def train(self, batches: Iterable[Sequence[str]], *, progress: bool = False) -> None:
        """Learn a vocabulary of at most n_ids pieces.

        batches: lines of text, any number at a time. progress: show a bar.
        """
        texts = (
            text.encode("utf8", "ignore").decode("utf8") for text in chain.from_iterable(batches)
        )
        self.load(self._learn(texts, progress).to_str())

    @abstractmethod
    def _learn(self, texts: Iterable[str], progress: bool) -> "Tokenizer":
        """A tokenizer with a vocabulary of these texts, in which lone surrogates are left out."""


class WordPieces(LearnedPieces):
    """Words in parts from a vocabulary that can be learned, longest match first.

    Source: Devlin et al. 2019, "BERT", section 3; Wu et al. 2016, "Google's Neural Machine
    Translation System", section 4.1.

    vocab_size: pieces at most, special ones included. 2,000 to 50,000.
    lowercase: whether a vocabulary it learns folds case and accents, as BERT's uncased models do.
    """

    kind = "wordpieces"
    SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

    def __init__(self, vocab_size: int = 8000, *, lowercase: bool = False) -> None:
        super().__init__(vocab_size)
        self.lowercase = lowercase

    def _learn(self, texts: Iterable[str], progress: bool) -> "Tokenizer":
        return train_word_pieces(
            texts,
            size=self.n_ids,
            special=self.SPECIAL,
            lowercase=self.lowercase,
            progress=progress,
        )

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "lowercase": self.lowercase}


class BytePairPieces(LearnedPieces):
    """Stretches of bytes, white space included, from a vocabulary that can be learned.

    No text is unknown to it. The space before a word is part of the word's first piece.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section
    2.2; special pieces as in Liu et al. 2019, "RoBERTa".

    vocab_size: pieces at most, at least 261. 4,000 to 50,000.
    """

    kind = "bytepairs"
    SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")

    def __init__(self, vocab_size: int = 8000) -> None:
        super().__init__(vocab_size)

    def _learn(self, texts: Iterable[str], progress: bool) -> "Tokenizer":
        return train_byte_pairs(texts, size=self.n_ids, special=self.SPECIAL, progress=progress)


class _Fork:
    """Keeps the library from starting threads in a forked process, which would wait for ever.

    Without this the library notices the fork, and prints a warning.
    """

    is_ours = False

    @classmethod
    def before(cls) -> None:
        LOCK.acquire()  # no other thread forks meanwhile, and takes our value for the user's
        cls.is_ours = THREADS_SWITCH not in os.environ
        os.environ.setdefault(THREADS_SWITCH, "false")

    @classmethod
    def after_in_parent(cls) -> None:
        if cls.is_ours:
            os.environ.pop(THREADS_SWITCH, None)
        LOCK.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_Fork.before,
        after_in_parent=_Fork.after_in_parent,
        after_in_child=LOCK.release,
    )
