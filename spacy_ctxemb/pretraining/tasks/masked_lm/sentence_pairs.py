"""Pairs of texts, of which the second follows the first or is from elsewhere.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1 and appendix A.2.
"""

import numpy as np

from ....errors import Errors
from ...text.token_store import TokenStore
from .examples import Example, Examples, pack_sentences


class SentencePairs(Examples):
    """Neighbouring sentences of a document, parted at random. In half of the examples sentences of
    another document, drawn at random, take the place of the second part; they are about as long,
    so that lengths tell nothing.

    Pairs that are too long lose pieces of their longer text, at both of its ends at random. A
    document of one sentence, or a last sentence for which no other is left, occurs as a second
    text alone.

    max_pieces: of an example, boundaries included.
    """

    n_boundaries = 3

    def __init__(self, store: TokenStore, *, max_pieces: int) -> None:
        self.store = store
        self.size = max_pieces - self.n_boundaries
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
        """The pieces of some sentences."""
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
