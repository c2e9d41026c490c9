"""From vectors of length 1 to pairs of rows that belong together.

Source: Jalili Sabet et al. 2020, "SimAlign", section 3: Argmax, Itermax (algorithm 1) and Match.
A similarity is (cosine + 1) / 2, from 0 to 1, as there.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors

Floats = NDArray[np.float64]
Pairs = set[tuple[int, int]]

#: Rounds of Itermax, and the weight of pairs of which one token has a partner already.
N_ROUNDS, ALPHA = 2, 0.9

#: Similarities that are held at once; "match" holds all of them.
BLOCK, LARGEST_MATCH = 2**22, 2**26

#: Below all similarities.
NEVER = -1.0


def argmax(X: Floats, Y: Floats) -> Pairs:
    """Pairs of which each row is the other's nearest. X: (m, D); Y: (n, D)."""
    return find_mutual(X, Y, set())


def itermax(X: Floats, Y: Floats) -> Pairs:
    """Those of argmax, and of a further round in which pairs whose rows both have a partner are
    left out, and those of which one has are worth less."""
    pairs: Pairs = set()
    for _ in range(N_ROUNDS):
        pairs |= find_mutual(X, Y, pairs)
    return pairs


def match(X: Floats, Y: Floats) -> Pairs:
    """One partner at most for each row, with the largest sum of similarities.

    Raises E753 without SciPy, E754 for too many similarities.
    """
    if len(X) * len(Y) > LARGEST_MATCH:
        raise ValueError(Errors.E754.format(m=len(X), n=len(Y), largest=LARGEST_MATCH))
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError(Errors.E753) from error
    rows, columns = linear_sum_assignment(X @ Y.T, maximize=True)
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


METHODS: dict[str, Callable[[Floats, Floats], Pairs]] = {
    "argmax": argmax,
    "itermax": itermax,
    "match": match,
}


def find_mutual(X: Floats, Y: Floats, known: Pairs) -> Pairs:
    """Pairs of which each is the best of the other's row, besides those known. The similarities
    are computed block by block."""
    row_known, column_known = np.zeros(len(X), dtype=bool), np.zeros(len(Y), dtype=bool)
    for i, j in known:
        row_known[i] = column_known[j] = True
    row_best = np.zeros(len(X), dtype=int)
    column_best, column_value = np.zeros(len(Y), dtype=int), np.full(len(Y), NEVER)
    row_value = np.full(len(X), NEVER)
    size = max(1, BLOCK // len(Y))
    for begin in range(0, len(X), size):
        rows = slice(begin, begin + size)
        found = (X[rows] @ Y.T + 1) / 2
        n_known = row_known[rows, None].astype(int) + column_known
        found = np.choose(n_known, [found, ALPHA * found, NEVER])
        row_best[rows], row_value[rows] = found.argmax(axis=1), found.max(axis=1)
        best, value = found.argmax(axis=0), found.max(axis=0)
        is_better = value > column_value
        column_best[is_better], column_value[is_better] = begin + best[is_better], value[is_better]
    is_mutual = (column_best[row_best] == np.arange(len(X))) & (row_value > NEVER)
    return {(int(i), int(row_best[i])) for i in np.flatnonzero(is_mutual)}
