"""Pieces: what takes one time step of an encoder. A word's characters, or parts of a text."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Ints = NDArray[np.int64]


class Texts(NamedTuple):
    """Some documents. Characters are counted through all texts, as if laid end to end.

    texts, n_tokens: (n,), of each document. offsets: (n,), where each text begins.
    starts, ends: (W,), the characters of each token. is_space: (W,), whether it is white space.
    """

    texts: list[str]
    n_tokens: Ints
    offsets: Ints
    starts: Ints
    ends: Ints
    is_space: NDArray[np.bool_]

    @property
    def words(self) -> list[str]:
        text = "".join(self.texts)
        spans = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [text[start:end] for start, end in spans]


class TextPieces(NamedTuple):
    """The pieces of some documents.

    ids: (P,) or (P, C).
    offsets: (P, 2), the first character of each and the one after its last, as Texts counts them.
    starts, lengths: (W,): token w has the pieces from starts[w] to starts[w] + lengths[w]. Tokens
        may share pieces, and pieces may belong to no token.
    document_lengths: (n,), pieces of each document.
    """

    ids: Ids
    offsets: Ints
    starts: Ints
    lengths: Ints
    document_lengths: Ints


class Pieces(ABC):
    """Turns documents into piece ids.

    n_ids: ids are in [0, n_ids).
    n_characters: C, where a piece is a row of character ids; else None.
    """

    #: Name in serialised form.
    kind: ClassVar[str]
    #: Whether they hold more than their settings: a vocabulary.
    is_learned: ClassVar[bool]

    n_ids: int
    n_characters: int | None

    @property
    @abstractmethod
    def boundaries(self) -> tuple[Ids, Ids]:
        """The pieces put before and after a window: () or (C,) each."""

    @property
    @abstractmethod
    def content(self) -> str:
        """What decides which pieces a text has, as one string; pieces of one content are equal."""

    @abstractmethod
    def encode(self, texts: Texts) -> TextPieces:
        """The pieces of documents; a token of white space has none."""

    @abstractmethod
    def is_lossy(self, ids: Ids) -> NDArray[np.bool_]:
        """Which pieces do not spell all of their text: unknown or cut short. (P,)"""

    @abstractmethod
    def spell(self, ids: Ids) -> list[str]:
        """Pieces as a person reads them. (P,)"""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """Everything that `from_json` needs to build an equal object."""

    @classmethod
    @abstractmethod
    def from_json(cls, data: dict[str, Any]) -> "Pieces":
        """Build the object that `to_json` described; of any kind, see `pieces_from_json`."""
