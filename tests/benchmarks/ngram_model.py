"""An n-gram model with interpolated modified Kneser-Ney smoothing, in sorted arrays.

Source: Chen and Goodman 1999, "An empirical study of smoothing techniques for language
modeling", sections 3.2 and 4.1.2; n-grams that begin with a boundary keep their plain counts,
since nothing stands before them, as in Heafield et al. 2013, "Scalable Modified Kneser-Ney
Language Model Estimation", section 3.2.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

#: Stands in a history for what would lie before its text.
ABSENT = -1

#: Where a text has no n-gram of some count from 1 to 4, as in KenLM's --discount_fallback.
FALLBACK = (0.5, 1.0, 1.5)


class Words(NamedTuple):
    """Texts laid end to end, each a boundary, its words, and another boundary.

    ids: (N,), of words. depth: (N,), how many ids of the same text stand before each.
    """

    ids: Ints
    depth: Ints

    def histories(self, order: int) -> Ints:
        """What stands before each target, the nearest last. (n_targets, order - 1)"""
        targets = self.targets()
        found = np.full((len(targets), order - 1), ABSENT, dtype=np.int64)
        for back in range(1, order):
            has = self.depth[targets] >= back
            found[has, order - 1 - back] = self.ids[targets[has] - back]
        return found

    def targets(self) -> Ints:
        """Where the words to predict are: all but the boundaries at which texts begin."""
        return np.flatnonzero(self.depth)


class NGrams(NamedTuple):
    """The U n-grams of one order that occur, ascending by context and word.

    An n-gram's number is its place here; a context's is its place among those one word shorter.

    keys: (U,), context * n_words + word. mass: (U,), counts less discounts.
    totals, backoff: (n_contexts,), counts of all words after a context; the share of the
        probability that is left to the next lower order.
    """

    keys: Ints
    mass: Floats
    totals: Floats
    backoff: Floats
    discounts: tuple[float, float, float]

    def find(self, contexts: Ints, words: Ints, n_words: int) -> Ints:
        """The numbers of n-grams, ABSENT for those that do not occur. (n,)"""
        wanted = contexts * n_words + words
        if not len(self.keys):
            return np.full(len(wanted), ABSENT)
        places = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        occurs = (contexts >= 0) & (words >= 0) & (self.keys[places] == wanted)
        return np.where(occurs, places, ABSENT)


class KneserNey:
    """Probabilities of words, given the order - 1 words before them.

    n_words: words are 0 ... n_words - 1.
    begin: the word at which texts begin, which is never predicted.
    """

    def __init__(self, text: Words, *, n_words: int, begin: int, order: int) -> None:
        self.n_words = n_words
        self.begin = begin
        if order < 2:
            raise ValueError(f"The order is {order}; it must be 2 or more.")
        counts = count(text, n_words=n_words, order=order)
        unigrams, *self.orders = (smooth(found, n_words) for found in counts)
        share = np.full(n_words, 1 / (n_words - 1))
        share[begin] = 0.0
        #: (n_words,)
        self.unigrams = unigrams.backoff[0] * share
        self.unigrams[unigrams.keys] += unigrams.mass / unigrams.totals[0]
        self.discounts = [ngrams.discounts for ngrams in (unigrams, *self.orders)]

    @property
    def sizes(self) -> list[int]:
        """How many n-grams of each order occur; for the first, how many words there are."""
        return [self.n_words, *(len(ngrams.keys) for ngrams in self.orders)]

    def probabilities(self, histories: Ints, words: Ints) -> Floats:
        """histories: (n, order - 1), the nearest word last; words: (n,). Returns (n,)."""
        found = self.unigrams[words]
        for n, ngrams in enumerate(self.orders, start=2):
            contexts = self._find_contexts(histories[:, histories.shape[1] - n + 1 :])
            seen = np.flatnonzero(contexts >= 0)
            seen = seen[ngrams.totals[contexts[seen]] > 0]
            contexts = contexts[seen]
            places = ngrams.find(contexts, words[seen], self.n_words)
            mass = np.zeros(len(seen))
            mass[places >= 0] = ngrams.mass[places[places >= 0]]
            lower = ngrams.backoff[contexts] * found[seen]
            found[seen] = mass / ngrams.totals[contexts] + lower
        return found

    def _find_contexts(self, histories: Ints) -> Ints:
        """(n, m) to (n,), ABSENT for those that do not occur."""
        found: Ints = histories[:, 0]
        for ngrams, words in zip(self.orders, histories.T[1:], strict=False):
            found = ngrams.find(found, words, self.n_words)
        return found


class Counts(NamedTuple):
    """keys: (U,), as in NGrams. adjusted: (U,), plain counts for the highest order and after a
    boundary, else how many words occur before the n-gram."""

    keys: Ints
    adjusted: Ints
    n_contexts: int


def count(text: Words, *, n_words: int, order: int) -> list[Counts]:
    """The adjusted counts of each order, from 1."""
    numbers = np.asarray(text.ids, dtype=np.int64)  # (N,), of the n-gram that ends here
    words, n_contexts = numbers, n_words
    keys, plain = np.arange(n_words), np.zeros(n_words, dtype=np.int64)
    begins = np.zeros(n_words, dtype=bool)
    found = []
    for n in range(2, order + 1):
        ends = np.flatnonzero(text.depth >= n - 1)
        distinct = number(numbers[ends - 1] * n_words + words[ends])
        shorter = numbers[ends[distinct.examples]]  # each n-gram without its first word
        preceding = np.bincount(shorter, minlength=len(keys))
        found.append(Counts(keys, np.where(begins, plain, preceding), n_contexts))
        n_contexts = len(keys)
        keys, plain = distinct.keys, distinct.counts
        begins = text.depth[ends[distinct.examples]] == n - 1
        numbers = np.full(len(words), ABSENT, dtype=np.int64)
        numbers[ends] = distinct.inverse
    occurs = np.flatnonzero(found[0].adjusted)
    unigrams = Counts(occurs, found[0].adjusted[occurs], 1)
    return [unigrams, *found[1:], Counts(keys, plain, n_contexts)]


class Distinct(NamedTuple):
    """keys: (U,), ascending. inverse: (n,), which of them each is. counts: (U,). examples: (U,),
    a place where each of them is."""

    keys: Ints
    inverse: Ints
    counts: Ints
    examples: Ints


def number(keys: Ints) -> Distinct:
    """As np.unique, which sorts more slowly where it is asked for places."""
    order = np.argsort(keys)
    ascending = keys[order]
    is_first = np.concatenate([[True], ascending[1:] != ascending[:-1]])[: len(keys)]
    starts = np.flatnonzero(is_first)
    inverse = np.empty(len(keys), dtype=np.int64)
    inverse[order] = np.cumsum(is_first) - 1
    counts = np.diff(starts, append=len(keys))
    return Distinct(ascending[starts], inverse, counts, order[starts])


def smooth(counts: Counts, n_words: int) -> NGrams:
    """Take discounts from counts, and leave them to the next lower order."""
    discounts = find_discounts(counts.adjusted)
    taken = np.array([0.0, *discounts])[np.minimum(counts.adjusted, 3)]
    contexts = counts.keys // n_words
    totals = np.bincount(contexts, counts.adjusted, minlength=counts.n_contexts).astype(float)
    left = np.bincount(contexts, taken, minlength=counts.n_contexts)
    backoff = np.divide(left, totals, out=np.ones_like(totals), where=totals > 0)
    return NGrams(counts.keys, counts.adjusted - taken, totals, backoff, discounts)


def find_discounts(adjusted: Ints) -> tuple[float, float, float]:
    """Of n-grams that occur once, twice, and more often. Chen and Goodman 1999, equation 17."""
    n1, n2, n3, n4 = (int((adjusted == k).sum()) for k in range(1, 5))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    raw: Sequence[float] = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    first, second, third = (min(max(d, 0.0), float(k)) for k, d in enumerate(raw, start=1))
    return first, second, third
