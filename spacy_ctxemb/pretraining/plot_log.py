"""The curves of a finished run."""

import math
from importlib.util import find_spec
from pathlib import Path

from ..atomic_files import replacing
from ..objectives import to_perplexity
from .progress_log import LOG, read_log


def plot_log(output: Path) -> None:
    """Write curves.png, perplexities over words, where matplotlib is installed."""
    if find_spec("matplotlib") is None:
        return
    from ..report.plots import plot_curves

    curves: dict[str, list[tuple[float, float]]] = {}

    def add(label: str, words: float, perplexity: float) -> None:
        if math.isfinite(perplexity):
            curves.setdefault(label, []).append((words, perplexity))

    for row in read_log(output / LOG):
        for name, loss in row["losses"].items():
            add(f"training, {name}", row["words"], to_perplexity(loss))
        for name, score in row.get("scores", {}).items():
            if name.startswith("perplexity_"):
                label = f"held out, {name.removeprefix('perplexity_')}"
                add(label, row["words"], score)
    if curves:
        plot = plot_curves(
            curves, list(curves), x_label="words read", y_label="perplexity", log_y=True
        )
        with replacing(output / "curves.png") as temporary:
            temporary.write_bytes(plot.png)
