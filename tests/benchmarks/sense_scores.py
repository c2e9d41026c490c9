"""Word senses from vectors: the nearest centroid, the nearest neighbours, a threshold."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

#: Numbers of neighbours to choose from.
NEIGHBOURS = (1, 3, 5, 10, 20, 40)


class Items(NamedTuple):
    """Occurrences of words. lemmas, senses: (n,)."""

    lemmas: Sequence[str]
    senses: Sequence[str]

    def by_lemma(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        lemmas = np.array(self.lemmas)
        for lemma in sorted(set(self.lemmas)):
            yield lemma, np.flatnonzero(lemmas == lemma)


def is_most_frequent(train: Items, test: Items) -> Bools:
    """Whether an item has the sense that its lemma has most often in training. (n_test,)"""
    counts = Counter(zip(train.lemmas, train.senses, strict=True))
    best: dict[str, str] = {}
    for (lemma, sense), _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        best.setdefault(lemma, sense)
    pairs = zip(test.lemmas, test.senses, strict=True)
    return np.array([best.get(lemma) == sense for lemma, sense in pairs])


def is_nearest_centroid(train: Items, X: Floats, test: Items, Z: Floats) -> Bools:
    """Whether the mean vector of an item's sense is nearest, by cosine.

    Source: Peters et al. 2018, "Deep contextualized word representations", section 5.3.
    X, Z: (n, D), of train and test.
    """
    is_right = np.zeros(len(test.lemmas), dtype=bool)
    for _, known, asked in pair_lemmas(train, test):
        senses, groups = np.unique(np.array(train.senses)[known], return_inverse=True)
        centroids = [X[known[groups == i]].mean(axis=0) for i in range(len(senses))]
        similar = unit(Z[asked]) @ unit(np.stack(centroids)).T  # (n_asked, n_senses)
        is_right[asked] = senses[similar.argmax(axis=1)] == np.array(test.senses)[asked]
    return is_right


def is_nearest_neighbour(
    train: Items, X: Floats, test: Items, Z: Floats, ks: Sequence[int] = NEIGHBOURS
) -> dict[int, Bools]:
    """For each k, whether most of the k nearest items, by cosine, have an item's sense; of senses
    with equally many the one that is nearer on the whole. X, Z: (n, D), of train and test."""
    is_right = {k: np.zeros(len(test.lemmas), dtype=bool) for k in ks}
    for _, known, asked in pair_lemmas(train, test):
        senses, groups = np.unique(np.array(train.senses)[known], return_inverse=True)
        similar = unit(Z[asked]) @ unit(X[known]).T  # (n_asked, n_known)
        order = np.argsort(-similar, axis=1, kind="stable")
        right = np.array(test.senses)[asked]
        for k in ks:
            nearest = order[:, :k]
            # Similarities count less than a vote, all k together.
            worth = 1 + np.take_along_axis(similar, nearest, axis=1) / (2 * k + 1)
            votes = np.zeros((len(asked), len(senses)))
            for column in range(nearest.shape[1]):
                votes[np.arange(len(asked)), groups[nearest[:, column]]] += worth[:, column]
            is_right[k][asked] = senses[votes.argmax(axis=1)] == right
    return is_right


def pair_lemmas(
    train: Items, test: Items
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
    """The items of each lemma in both. A lemma that training lacks is never right."""
    known = dict(train.by_lemma())
    for lemma, asked in test.by_lemma():
        if lemma in known:
            yield lemma, known[lemma], asked


def unit(X: Floats) -> Floats:
    """Rows of length 1; zeros stay. (n, D)"""
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    return np.divide(X, lengths, out=np.zeros_like(X), where=lengths > 0)


def cosine(X: Floats, Y: Floats) -> Floats:
    """(n, D) twice to (n,)"""
    similar: Floats = (unit(X) * unit(Y)).sum(axis=1)
    return similar


def find_threshold(values: Floats, labels: Bools) -> tuple[float, float]:
    """The bound from which values are best taken for true, and the accuracy there; the lowest of
    several. values, labels: (n,)."""
    order = np.argsort(values, kind="stable")
    ascending, truths = values[order], labels[order]
    # With i values below the bound, the false ones among them are right, and the true ones above.
    right = np.concatenate([[0], np.cumsum(~truths)]) + np.concatenate(
        [np.cumsum(truths[::-1])[::-1], [0]]
    )
    splits = np.concatenate([[True], ascending[1:] > ascending[:-1], [True]])
    best = int(np.where(splits, right, -1).argmax())
    bounds = np.concatenate([[-np.inf], (ascending[1:] + ascending[:-1]) / 2, [np.inf]])
    return float(bounds[best]), float(right[best] / len(values))
