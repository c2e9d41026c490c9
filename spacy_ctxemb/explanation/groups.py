"""Groups of vectors that point in similar directions.

Source: Dhillon and Modha 2001, "Concept Decompositions for Large Sparse Text Data using
Clustering" (k-means by cosines); Rousseeuw 1987, "Silhouettes".
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: The largest number of groups that is tried, and the silhouette under which there is one group.
MOST, LEAST_SILHOUETTE = 6, 0.1


def group(unit: Floats, n_groups: int | None = None) -> Ints:
    """The group of each of n vectors of length 1, the largest group first. (n, D) to (n,)

    n_groups: None for the number, of 1 to 6, whose groups stand apart best.
    """
    if n_groups is not None:
        return by_size(find_means(unit, n_groups))
    tried = [find_means(unit, k) for k in range(2, min(MOST, len(unit) - 1) + 1)]
    best = max(tried, key=lambda found: score_silhouette(unit, found))
    if score_silhouette(unit, best) < LEAST_SILHOUETTE:
        return np.zeros(len(unit), dtype=np.int64)
    return by_size(best)


def find_means(unit: Floats, k: int, n_rounds: int = 100) -> Ints:
    """k-means, from vectors that are far apart: the same result each time."""
    first = int((unit @ unit.mean(axis=0)).argmin())
    chosen = [first]
    while len(chosen) < k:
        chosen.append(int((unit @ unit[chosen].T).max(axis=1).argmin()))
    centres = unit[chosen]
    found = np.zeros(len(unit), dtype=np.int64)
    for _ in range(n_rounds):
        new = (unit @ centres.T).argmax(axis=1)
        if (new == found).all():
            break
        found = new
        for i in set(found.tolist()):
            mean = unit[found == i].sum(axis=0)
            centres[i] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return found


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
