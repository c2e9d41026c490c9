"""What a masked language model learns from: sequences of sentences, or pairs of texts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ....errors import Errors
from ....pieces.base import Ints
from ...text.token_store import TokenStore


class Example(NamedTuple):
    """What a window reads. spans: its one or two texts, each the first piece in the store and the
    one after its last. is_next: of a pair, whether the second text follows the first."""

    spans: list[tuple[int, int]]
    is_next: bool | None = None


class Examples(ABC):
    """The examples that a store has; what of them is random is drawn when one is read."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, i: int, rng: np.random.Generator) -> Example:
        """One of them."""


class Sequences(Examples):
    """As many sentences of a document as fit, then the next ones. A sentence that is too long for
    one sequence is several, of like lengths.

    Source: Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach", section
    4.2, DOC-SENTENCES.

    max_pieces: of an example, boundaries included.
    """

    def __init__(self, store: TokenStore, *, max_pieces: int) -> None:
        size = max_pieces - 2  # without the boundaries
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


class SentencePairs(Examples):
    """Neighbouring sentences of a document, parted at random. In half of the examples sentences of
    another document, drawn at random, take the place of the second part; they are about as long,
    so that lengths tell nothing.

    Pairs that are too long lose pieces of their longer text, at both of its ends at random. A
    document of one sentence, or a last sentence for which no other is left, occurs as a second
    text alone.

    Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", section 3.1 and appendix A.2.

    max_pieces: of an example, boundaries included.
    """

    def __init__(self, store: TokenStore, *, max_pieces: int) -> None:
        self.store = store
        self.size = max_pieces - 3  # without the boundaries
        self.runs = pack_sentences([store], [self.size], n_least=2)
        if not len(self.runs) or len(store.document_ends) < 2:
            raise ValueError(
                Errors.E412.format(
                    path=store.folder,
                    n_documents=len(store.document_ends),
                    n_sentences=len(store.sentence_ends),
                )
            )

    def __len__(self) -> int:
        return len(self.runs)

    def read(self, i: int, rng: np.random.Generator) -> Example:
        first, last = self.runs[i].tolist()
        middle = int(rng.integers(first + 1, last))
        is_next = bool(rng.random() < 0.5)
        a = self._span(first, middle)
        b = self._span(middle, last)
        if not is_next:
            b = self._draw(first, b[1] - b[0], rng)
        return Example(shorten(a, b, self.size, rng), is_next)

    def _span(self, first: int, last: int) -> tuple[int, int]:
        ends = self.store.sentence_ends
        return int(ends[first - 1]) if first else 0, int(ends[last - 1])

    def _draw(self, sentence: int, length: int, rng: np.random.Generator) -> tuple[int, int]:
        """Sentences of another document than that of `sentence`, about as long as `length`."""
        ends = self.store.document_ends
        own = int(np.searchsorted(ends, sentence, side="right"))
        other = int(rng.integers(len(ends) - 1))
        other += other >= own
        first = int(rng.integers(ends[other - 1] if other else 0, ends[other]))
        begin, _ = self._span(first, first + 1)
        # No more sentences than pieces are needed.
        rest = self.store.sentence_ends[first : min(first + length, int(ends[other]))]
        return begin, int(rest[np.abs(rest - begin - length).argmin()])


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


def shorten(
    a: tuple[int, int], b: tuple[int, int], size: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Two spans of `size` pieces at most, taken from the longer one until both are alike.

    Where pieces are taken, at the beginning or at the end, is drawn for each of them.
    """
    lengths = [end - start for start, end in (a, b)]
    most = max(size - min(lengths), size // 2)
    limits = [most, size - most]  # of the longer one and of the other
    if lengths[0] < lengths[1]:
        limits.reverse()
    kept = []
    for (start, end), limit in zip((a, b), limits, strict=True):
        excess = max(end - start - limit, 0)
        at_start = int(rng.binomial(excess, 0.5))
        kept.append((start + at_start, end - excess + at_start))
    return kept
