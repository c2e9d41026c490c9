"""Sequences of pieces to learn from: neighbouring sentences of a document.

Source: Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach", section 4.2,
DOC-SENTENCES.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ....pieces.base import Ints
from ...text.token_store import TokenStore


class Example(NamedTuple):
    """What a window reads. spans: its one or two texts, each the first piece in the store and the
    one after its last. is_next: of a pair, whether the second text follows the first."""

    spans: list[tuple[int, int]]
    is_next: bool | None = None


class Examples(ABC):
    """The examples that a store has; what of them is random is drawn when one is read."""

    #: Pieces of an example that are no text.
    n_boundaries: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, i: int, rng: np.random.Generator) -> Example:
        """One of them."""


class Sequences(Examples):
    """As many sentences of a document as fit, then the next ones. A sentence that is too long for
    one sequence is several, of like lengths.

    max_pieces: of an example, boundaries included.
    """

    n_boundaries = 2

    def __init__(self, store: TokenStore, *, max_pieces: int) -> None:
        size = max_pieces - self.n_boundaries
        sentences = pack_sentences([store], [size], n_least=1)  # (n, 2)
        before = np.concatenate([[0], store.sentence_ends])
        bounds = before[sentences]  # (n, 2), in pieces
        n_parts = -(-(bounds[:, 1] - bounds[:, 0]) // size)
        self._bounds, self._n_parts = bounds, n_parts
        self._ends = np.cumsum(n_parts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, i: int, rng: np.random.Generator) -> Example:
        whole = int(np.searchsorted(self._ends, i, side="right"))
        start, end = self._bounds[whole].tolist()
        n = int(self._n_parts[whole])
        part = i - int(self._ends[whole]) + n
        length = end - start
        return Example([(start + part * length // n, start + (part + 1) * length // n)])


def pack_sentences(stores: Sequence[TokenStore], sizes: Sequence[int], *, n_least: int) -> Ints:
    """Divide each document into runs of sentences, each as long as `sizes` allow.

    stores: of one text, in one kind of pieces or more. sizes: pieces of a run in each of them.
    n_least: sentences that a run has, even if they are too long; fewer, at the end of a document,
        are left out. Returns the first sentence of each run and the one after its last. (n, 2)
    """
    runs = []
    first = 0
    for document_end in stores[0].document_ends.tolist():
        while first < document_end:
            fitting = document_end - first
            for store, size in zip(stores, sizes, strict=True):
                ends = store.sentence_ends
                limit = size + (int(ends[first - 1]) if first else 0)
                rest = ends[first : first + fitting]
                fitting = int(np.searchsorted(rest, limit, side="right"))
            last = min(first + max(fitting, n_least), document_end)
            if last - first >= n_least:
                runs.append((first, last))
            first = last
    return np.array(runs, dtype=np.int64).reshape(-1, 2)
