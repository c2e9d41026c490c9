"""Runs of words to hide together.

Source: Joshi et al. 2020, "SpanBERT: Improving Pre-training by Representing and Predicting
Spans", section 3.1. There spans are drawn until enough is hidden; here spans and the gaps between
them are drawn in turn, which hides the same share on average, without a loop.
"""

import numpy as np
from numpy.typing import NDArray

#: Of the geometric distribution of lengths, and the longest one. They are 3.8 words on average.
P_END, LONGEST = 0.2, 10

#: Words before the first one. Behind so many, no place tells where the drawing began.
N_BEFORE = 64

#: A word that is in no span.
NO_SPAN = -1


def draw_spans(n_words: int, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The span of each word, below n_words + N_BEFORE, or NO_SPAN. (n_words,)

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
