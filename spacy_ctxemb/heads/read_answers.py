"""From scores of starts and ends to the best answers, as transformers' pipeline reads them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .question_pairs import Pair

Scores = NDArray[np.float64]

#: In place of a probability of 0, which has no logarithm.
SMALLEST = 1e-300


class Answer(NamedTuple):
    """A stretch of the text, in characters, and its probability."""

    start: int
    end: int
    score: float


class Answers(NamedTuple):
    """The answers, the best one first, and the probability that the text has none."""

    found: list[Answer]
    nothing: float

    def says_nothing(self, threshold: float | None) -> bool:
        """Whether the logarithm of the probability of "no answer" is larger than that of the best
        answer by more than a threshold; never without one."""
        if threshold is None or not self.found:
            return not self.found
        best = max(self.found[0].score, SMALLEST)
        return math.log(max(self.nothing, SMALLEST) / best) > threshold


def read_answers(
    scores: Sequence[Scores], pair: Pair, text: str, *, n: int, max_length: int
) -> Answers:
    """All answers that are looked at for the n best ones.

    In each window the probabilities of starts are those of its first piece, which stands for no
    answer, and of the pieces of the text; those of ends too. An answer has the product of both, and
    ends with whole words. Those that read the same, whatever their case, count as one, and their
    probabilities are added. "No answer" has the smallest probability of all windows.

    scores: of each window, of starts and ends: (T, 2). max_length: pieces of an answer.
    """
    merged: dict[str, Answer] = {}
    nothing = 1.0
    for spans, of_window in zip(pair.spans, scores, strict=True):
        place = pair.before.shape[1]
        rows = np.concatenate([of_window[:1], of_window[place : place + len(spans)]])
        starts, ends = softmax(rows).T
        nothing = min(nothing, float(starts[0] * ends[0]))
        for start, end, score in find_best(starts[1:], ends[1:], 2 * n + 10, max_length):
            begin, stop = int(spans[start, 0]), int(spans[end, 1])
            known = merged.setdefault(text[begin:stop].lower(), Answer(begin, stop, 0.0))
            total = known.score + score
            merged[text[begin:stop].lower()] = known._replace(score=total)
    found = sorted(merged.values(), key=lambda answer: -answer.score)
    return Answers(found, nothing)


def find_best(
    starts: Scores, ends: Scores, n: int, max_length: int
) -> list[tuple[int, int, float]]:
    """The n most probable pairs of a start and an end not before it, the best one first.

    starts, ends: (P,), probabilities.
    """
    if not len(starts):
        return []
    products = np.triu(np.outer(starts, ends))
    products -= np.triu(products, max_length)
    flat = products.ravel()
    best = np.argpartition(-flat, n)[:n] if n < len(flat) else np.arange(len(flat))
    best = best[np.argsort(-flat[best], kind="stable")]
    rows, columns = np.unravel_index(best, products.shape)
    pairs = zip(rows.tolist(), columns.tolist(), flat[best].tolist(), strict=True)
    return [(i, j, p) for i, j, p in pairs if 0 <= j - i < max_length]


def softmax(scores: Scores) -> Scores:
    """Of each column."""
    powers = np.exp(scores - scores.max(axis=0))
    return powers / powers.sum(axis=0)
