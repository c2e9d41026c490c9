"""Which pieces a masked language model hides: single pieces, whole words, or spans of words.

Sources: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1 and appendix A.1. Spans: Joshi et al. 2020, "SpanBERT: Improving
Pre-training by Representing and Predicting Spans", section 3.1. There spans are drawn until
enough is hidden; here spans and the gaps between them are drawn in turn, which hides the same
share on average, without a loop.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors
from ..pieces.base import Ids, Ints
from .base import NO_TARGET

#: Of the geometric distribution of lengths, and the longest one. They are 3.8 words on average.
P_END, LONGEST = 0.2, 10

#: Words before the first one. Behind so many, no place tells where the drawing began.
N_BEFORE = 64

#: A word that is in no span.
NO_SPAN = -1


@dataclass(frozen=True)
class Masking:
    """Chooses targets; of these 80 % become the mask, 10 % another piece, 10 % stay.

    mask_id: the id of the piece that hides others.
    special_ids: these are never targets, nor random replacements.
    n_pieces: ids from this one on are not in use.
    share: of pieces to predict. 0.15 in BERT, up to 0.4 for small encoders.
    whole_words: choose words, and hide all of their pieces. Words that share a piece are one.
    spans: choose runs of 1 to 10 words instead; each is hidden, replaced or left as a whole.

    Raises E431 for a share outside 0 to 1, E131 if all pieces are special.

    Example:
        masking = Masking(4, [0, 1, 2, 3, 4], 8000, share=0.15, whole_words=True)
        read, targets = masking(ids, starts, lengths, np.random.default_rng(0))
    """

    mask_id: int
    special_ids: list[int]
    n_pieces: int
    share: float
    whole_words: bool = False
    spans: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ValueError(Errors.E431.format(share=self.share))
        if not len(self.ordinary_ids):
            raise ValueError(Errors.E131.format(n_special=len(self.special_ids)))

    @cached_property
    def ordinary_ids(self) -> Ids:
        """The ids in use that are not special."""
        return np.setdiff1d(np.arange(self.n_pieces, dtype=np.int32), self.special_ids)

    def __call__(
        self, ids: Ids, starts: Ints, lengths: Ints, rng: np.random.Generator
    ) -> tuple[Ids, Ids]:
        """Return masked ids and targets, (P,) each. ids: (P,); starts, lengths: (W,)."""
        chosen, action = self._choose(starts, lengths, len(ids), rng)
        chosen &= ~np.isin(ids, self.special_ids)
        random_ids = rng.choice(self.ordinary_ids, size=len(ids))
        masked = ids.copy()
        masked[chosen & (action < 0.8)] = self.mask_id
        replaced = chosen & (action >= 0.9)
        masked[replaced] = random_ids[replaced]
        return masked, np.where(chosen, ids, NO_TARGET).astype(np.int32)

    def _choose(
        self, starts: Ints, lengths: Ints, n_pieces: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Tell whether each piece is chosen, and by a number from 0 to 1 what becomes of it.
        (P,) each"""
        words = find_words(starts, lengths, n_pieces=n_pieces)
        if self.spans:
            spans = draw_spans(n_pieces, self.share, rng)[words]  # (P,)
            return spans != NO_SPAN, rng.random(n_pieces + N_BEFORE)[spans]
        chosen = rng.random(n_pieces) < self.share
        return chosen[words] if self.whole_words else chosen, rng.random(n_pieces)


def find_words(starts: Ints, lengths: Ints, *, n_pieces: int) -> Ints:
    """Find the word of each piece, below P. A word is the pieces of a token, or of tokens that
    share pieces, or a piece that no token has. starts, lengths: (W,). Returns (P,)."""
    has_pieces = lengths > 0
    first, last = starts[has_pieces], (starts + lengths)[has_pieces] - 1
    # Each token joins its pieces, one to the next.
    opened, closed = (np.bincount(at, minlength=n_pieces) for at in (first, last))
    joined = np.cumsum(opened - closed) > 0  # (P,), with the piece that follows
    return np.cumsum(~joined) - ~joined


def draw_spans(n_words: int, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the span of each word, below n_words + N_BEFORE, or NO_SPAN. (n_words,)

    share: of the words to be in spans, on average.
    """
    n = n_words + N_BEFORE  # as many spans as that reach the end surely
    p = (1 - P_END) ** np.arange(LONGEST)
    p /= p.sum()
    lengths = rng.choice(np.arange(1, LONGEST + 1), size=n, p=p)
    mean_gap = (p @ np.arange(1, LONGEST + 1)) * (1 - share) / share
    gaps = rng.geometric(1 / (1 + mean_gap), size=n) - 1
    runs = np.stack([gaps, lengths], axis=1).ravel()
    spans = np.stack([np.full(n, NO_SPAN), np.arange(n)], axis=1).ravel()
    n_runs = int(np.searchsorted(np.cumsum(runs), n)) + 1  # those that reach beyond the last word
    found: NDArray[np.int64] = np.repeat(spans[:n_runs], runs[:n_runs])[N_BEFORE:n]
    return found
