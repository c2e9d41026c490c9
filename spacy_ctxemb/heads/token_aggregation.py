"""From the scores of pieces to those of words, and to entities, as transformers makes them.

Source: transformers, `TokenClassificationPipeline` and its `aggregation_strategy`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors
from ..windows.pieces_to_windows import ranges
from .token_labels import OUTSIDE, Rules, decode

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Entity(NamedTuple):
    """Characters of a Doc, from start to end, with a label and its probability."""

    start: int
    end: int
    label: str
    score: float


class Units(NamedTuple):
    """What gets a class: pieces, or words. probabilities: (U, C). offsets: (U, 2), characters."""

    probabilities: Floats
    offsets: Ints


#: Probabilities (P, C) of pieces; the first piece of each of W words and the one after its last.
Aggregate = Callable[[Floats, Ints, Ints], Floats]


def take_first(probabilities: Floats, starts: Ints, ends: Ints) -> Floats:
    return probabilities[starts]


def average(probabilities: Floats, starts: Ints, ends: Ints) -> Floats:
    sizes = ends - starts
    rows = probabilities[ranges(starts, sizes)]
    summed: Floats = np.add.reduceat(rows, np.cumsum(sizes) - sizes)
    means: Floats = np.divide(summed, sizes[:, None], dtype=np.float32)
    return means


def take_most_certain(probabilities: Floats, starts: Ints, ends: Ints) -> Floats:
    """Those of the piece with the largest of all, the first of equals."""
    sizes = ends - starts
    rows, words = ranges(starts, sizes), np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((rows, -probabilities[rows].max(axis=1), words))
    return probabilities[rows[order[np.cumsum(sizes) - sizes]]]


#: How the pieces of a word become one; None for pieces as they are, which are grouped by "simple".
AGGREGATIONS: dict[str, Aggregate | None] = {
    "none": None,
    "simple": None,
    "first": take_first,
    "average": average,
    "max": take_most_certain,
}


def check_aggregation(name: str) -> str:
    """Raise E612 for an aggregation that there is not."""
    if name not in AGGREGATIONS:
        raise ValueError(Errors.E612.format(aggregation=name, options=list(AGGREGATIONS)))
    return name


def find_entities(
    scores: Floats,
    states: dict[str, Any],
    classes: tuple[str, ...],
    rules: Rules,
    *,
    aggregation: str,
    constrained: bool,
) -> list[Entity]:
    """The entities of a Doc, in order.

    scores: (p, C), of its pieces. states: see STATES in doc_vectors/names.py.
    constrained: whether words have the most probable classes that the scheme allows.
    """
    units = find_units(scores, states, aggregation)
    if not len(units.offsets):
        return []
    is_by_words = AGGREGATIONS[check_aggregation(aggregation)] is not None
    found = units.probabilities.argmax(axis=1)
    if constrained and is_by_words:
        found = decode(units.probabilities, rules)
    chosen = units.probabilities[np.arange(len(found)), found]
    if aggregation == "none":
        places = np.flatnonzero(rules.types[found] != 0)
        rows = zip(
            units.offsets[places].tolist(),
            found[places].tolist(),
            chosen[places].tolist(),
            strict=True,
        )
        return [Entity(start, end, classes[i], score) for (start, end), i, score in rows]
    return group(units.offsets, found, chosen, rules)


def group(offsets: Ints, found: Ints, chosen: Floats, rules: Rules) -> list[Entity]:
    """Join neighbours of one type, where none of them says that an entity begins or has ended."""
    types = rules.types[found]
    is_new = (types[1:] != types[:-1]) | rules.begins[found[1:]] | rules.ends[found[:-1]]
    firsts = np.concatenate([[0], np.flatnonzero(is_new) + 1])
    sizes = np.diff(np.append(firsts, len(found)))
    means = np.add.reduceat(chosen, firsts) / sizes
    return [
        Entity(int(offsets[i, 0]), int(offsets[i + n - 1, 1]), rules.names[types[i]], float(mean))
        for i, n, mean in zip(firsts.tolist(), sizes.tolist(), means, strict=True)
        if rules.names[types[i]] != OUTSIDE
    ]


def find_units(scores: Floats, states: dict[str, Any], aggregation: str) -> Units:
    """The pieces, or the words, of a Doc with their probabilities."""
    probabilities, offsets = softmax(scores), states["offsets"]
    aggregate = AGGREGATIONS[check_aggregation(aggregation)]
    if aggregate is None:
        return Units(probabilities, offsets)
    starts, ends = find_words(states)
    if not len(starts):
        return Units(probabilities[:0], offsets[:0])
    chars = np.stack([offsets[starts, 0], offsets[ends - 1, 1]], axis=1)
    return Units(aggregate(probabilities, starts, ends), chars)


def find_words(states: dict[str, Any]) -> tuple[Ints, Ints]:
    """The first piece of each word, and the one after its last: tokens that have pieces, those
    that share some as one word. (W,) each"""
    has_pieces = states["lengths"] > 0
    starts = states["starts"][has_pieces]
    ends = np.maximum.accumulate(starts + states["lengths"][has_pieces])
    is_first = np.ones(len(starts), dtype=np.bool_)
    is_first[1:] = starts[1:] >= ends[:-1]
    firsts = np.flatnonzero(is_first)
    return starts[firsts], ends[np.append(firsts[1:], len(starts)) - 1] if len(starts) else ends


def softmax(scores: Floats) -> Floats:
    """(n, C) to (n, C)."""
    raised: Floats = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    return raised / raised.sum(axis=1, keepdims=True)
