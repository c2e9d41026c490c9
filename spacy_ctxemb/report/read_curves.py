"""Curves from logs: lists of points (x, y)."""

from collections.abc import Sequence

from .read_metrics import Row, Run

Curve = list[tuple[float, float]]


def dev_scores(run: Run) -> Curve:
    """Score times 100 on the development data, over steps."""
    return [(row["step"], 100 * row["score"]) for row in run.log]


def pretraining_losses(rows: Sequence[Row]) -> Curve:
    """Mean loss of a word since the last row, over words seen. Mostly, a row is an epoch.

    Words and losses are sums over all epochs: unlike `epoch_loss`, their differences also fit
    rows of several epochs, of part of one, and the last one of an interrupted run.
    """
    curve: Curve = []
    before = (0, 0.0)
    for row in rows:
        words, loss = row["nr_word"], row["loss"]
        if (words, loss) == before:  # the last row of a finished run
            continue
        if words <= before[0]:  # a run that began anew or resumed, in the same log
            before = (0, 0.0)
            if row["epoch"] == 0:
                curve = []
        n_words = words - before[0]
        seen = curve[-1][0] if curve else 0
        curve.append((seen + n_words, (loss - before[1]) / n_words))
        before = (words, loss)
    return curve
