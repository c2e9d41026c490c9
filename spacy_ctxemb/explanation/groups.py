"""Groups of vectors that point in similar directions.

Source: Dhillon and Modha 2001, "Concept Decompositions for Large Sparse Text Data using
Clustering" (k-means by cosines); Rousseeuw 1987, "Silhouettes".
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

#: The largest number of groups that is tried, and the silhouette under which there is one group.
MOST, LEAST_SILHOUETTE = 6, 0.1

#: Starts of k-means.
N_STARTS = 10


def group_vectors(vectors: Floats, n_groups: int | None = None) -> Ints:
    """The group of each of n vectors, the largest group first. (n, D) to (n,)

    The mean of all is subtracted first: it is what every use of a word has in common.
    n_groups: None for the number, of 1 to 6, whose groups stand apart best.
    """
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    if n_groups is not None:
        return by_size(find_means(unit, n_groups))
    tried = [find_means(unit, k) for k in range(2, min(MOST, len(unit) - 1) + 1)]
    best = max(tried, key=lambda found: score_silhouette(unit, found))
    if score_silhouette(unit, best) < LEAST_SILHOUETTE:
        return np.zeros(len(unit), dtype=np.int64)
    return by_size(best)


def find_means(unit: Floats, k: int) -> Ints:
    """k-means from several starts, the best of them: the same result each time."""
    starts = np.linspace(0, len(unit) - 1, min(N_STARTS, len(unit)), dtype=int)
    tried = [run_means(unit, choose_apart(unit, int(start), k)) for start in starts]
    return max(tried, key=lambda one: one[0])[1]


def choose_apart(unit: Floats, start: int, k: int) -> list[int]:
    """One vector, then again and again the one that is least like those before it."""
    chosen = [start]
    while len(chosen) < k:
        chosen.append(int((unit @ unit[chosen].T).max(axis=1).argmin()))
    return chosen


def run_means(unit: Floats, chosen: list[int], n_rounds: int = 100) -> tuple[float, Ints]:
    """How near vectors are to the centres of their groups, all together, and the groups."""
    centres = unit[chosen]
    found = np.full(len(unit), -1)
    for _ in range(n_rounds):
        new = (unit @ centres.T).argmax(axis=1)
        if (new == found).all():
            break
        found = new
        for i in set(found.tolist()):
            mean = unit[found == i].sum(axis=0)
            centres[i] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return float((unit @ centres.T).max(axis=1).sum()), found


def score_silhouette(unit: Floats, found: Ints) -> float:
    """How much nearer vectors are to their own group than to the next one, from -1 to 1."""
    groups = sorted(set(found.tolist()))
    if len(groups) < 2:
        return -1.0
    distances = 1 - unit @ unit.T
    is_of = np.stack([found == i for i in groups], axis=1)  # (n, k)
    sums, sizes = distances @ is_of, is_of.sum(axis=0)
    own = (sums / np.maximum(sizes - 1, 1))[is_of]
    other = np.where(is_of, np.inf, sums / sizes).min(axis=1)
    scores = (other - own) / np.maximum(np.maximum(own, other), 1e-9)
    return float(np.where((is_of @ sizes) > 1, scores, 0.0).mean())


def by_size(found: Ints) -> Ints:
    """The same groups, with the largest as number 0."""
    names, sizes = np.unique(found, return_counts=True)
    ranks = {int(name): rank for rank, name in enumerate(names[np.argsort(-sizes, kind="stable")])}
    return np.array([ranks[int(one)] for one in found], dtype=np.int64)
