"""The curves of a finished run."""

import math
from importlib.util import find_spec
from pathlib import Path

from ..atomic_files import replacing
from ..objectives import to_perplexity
from ..objectives.base import LIKELIHOODS
from .progress_log import LOG, read_log


def plot_log(output: Path) -> None:
    """Write curves.png where matplotlib is installed: over words, perplexities of likelihoods and
    what other losses are."""
    if find_spec("matplotlib") is None:
        return
    from ..report.plots import plot_curves

    curves: dict[str, list[tuple[float, float]]] = {}

    labels = set[str]()

    def add(label: str, words: float, value: float) -> None:
        if math.isfinite(value):
            curves.setdefault(label, []).append((words, value))

    for row in read_log(output / LOG):
        scores = row.get("scores", {})
        for name, loss in row["losses"].items():
            is_likelihood = name in LIKELIHOODS
            labels.add("perplexity" if is_likelihood else "error")
            value = to_perplexity(loss) if is_likelihood else loss
            add(f"training, {name}", row["words"], value)
            score = scores.get(f"perplexity_{name}" if is_likelihood else name, math.nan)
            add(f"held out, {name}", row["words"], score)
    if curves:
        y_label = " or ".join(sorted(labels))
        plot = plot_curves(curves, list(curves), x_label="words read", y_label=y_label, log_y=True)
        with replacing(output / "curves.png") as temporary:
            temporary.write_bytes(plot.png)
