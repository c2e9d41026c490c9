"""The plots of a report, as PNG files in memory. They need matplotlib, which is optional."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from .format_tables import SCORES, group_scores
from .read_metrics import Curve, Row

#: Okabe and Ito's colours, which the colour-blind can tell apart, and dashes for print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")

#: Uses of a word on a plane: (x, y) of each use, by sense.
Senses = Mapping[str, Sequence[tuple[float, float]]]

#: The sense of a word without context.
CONTEXT_FREE = "no context"


@dataclass(frozen=True)
class Plot:
    """alt: says in words what there is to see."""

    png: bytes
    alt: str


def plot_comparison(results: Sequence[Row], senses: Senses | None, word: str) -> Plot:
    """Scores by number of examples, a part for each corpus; and the senses of a word."""
    corpora = sorted({result["corpus"] for result in results})
    n_parts = len(corpora) + (senses is not None)
    figure = Figure(figsize=(3.4 * n_parts, 3.4), layout="constrained")
    parts = figure.subplots(1, n_parts, squeeze=False)[0]
    for corpus, axes in zip(corpora, parts, strict=False):
        plot_sizes(axes, [result for result in results if result["corpus"] == corpus])
    handles, names = parts[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=len(names), frameon=False)
    alt = "Mean test scores by the number of labelled examples. " + describe_means(results)
    if senses is not None:
        plot_senses(parts[-1], senses, word)
        n_uses = sum(len(points) for sense, points in senses.items() if sense != CONTEXT_FREE)
        named = " and ".join(sense for sense in senses if sense != CONTEXT_FREE)
        alt += f" Beside it {n_uses} uses of the word {word} on a plane, by sense: {named};"
        alt += " without context they are one point."
    return Plot(to_png(figure), alt)


def plot_sizes(axes: Axes, results: Sequence[Row]) -> None:
    """Means of seeds as a line for each config, with bars as long as the standard deviation."""
    columns = group_scores(results)
    names = list(dict.fromkeys(result["config"] for result in results))
    for i, name in enumerate(names):
        found = [(x, scores[name]) for x, scores in enumerate(columns.values()) if name in scores]
        axes.errorbar(
            [x + 0.03 * (i - 1) for x, _ in found],
            [100 * statistics.mean(scores) for _, scores in found],
            [100 * statistics.stdev(scores) if len(scores) > 1 else 0.0 for _, scores in found],
            label=name,
            color=COLOURS[i % len(COLOURS)],
            linestyle=DASHES[i % len(DASHES)],
            marker="o",
            capsize=3,
        )
    axes.set_title(results[0]["corpus"])
    axes.set_xticks(range(len(columns)), [size for _, size in columns])
    axes.set_xlim(-0.3, len(columns) - 0.7)
    axes.set_ylabel(f"test {SCORES.get(results[0]['metric'], results[0]['metric'])}")
    axes.spines[["top", "right"]].set_visible(False)


def plot_senses(axes: Axes, senses: Senses, word: str) -> None:
    for sense, marker, colour in zip(senses, "os^D*", COLOURS[3:], strict=False):
        is_free = sense == CONTEXT_FREE
        axes.scatter(
            [x for x, _ in senses[sense]],
            [y for _, y in senses[sense]],
            label=sense,
            marker="*" if is_free else marker,
            color="black" if is_free else colour,
            s=120 if is_free else 36,
        )
    axes.set_title(f"uses of “{word}”")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(frameon=False, fontsize="small")


def plot_curves(
    curves: dict[str, Curve],
    names: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    log_y: bool = False,
) -> Plot:
    """One line a name. names: all of the report, so that each looks the same in every plot."""
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    for name, curve in curves.items():
        i = names.index(name)
        axes.plot(
            *zip(*curve, strict=True),
            label=name,
            color=COLOURS[i % len(COLOURS)],
            linestyle=DASHES[i % len(DASHES)],
            linewidth=1.8,
            marker="o" if len(curve) == 1 else None,
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if log_y:
        axes.set_yscale("log")
    axes.grid(color="#dddddd", linewidth=0.8)
    figure.legend(loc="outside right upper", frameon=False)
    alt = "; ".join(describe_curve(name, curve) for name, curve in curves.items())
    return Plot(to_png(figure), f"Line chart of {y_label} over {x_label}. {alt}.")


def describe_means(results: Sequence[Row]) -> str:
    return " ".join(
        f"{corpus}, {size}: "
        + ", ".join(f"{name} {100 * statistics.mean(found):.1f}" for name, found in scores.items())
        + "."
        for (corpus, size), scores in group_scores(results).items()
    )


def to_png(figure: Figure) -> bytes:
    """The figure as a file; it needs no display."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def describe_curve(name: str, curve: Curve) -> str:
    heights = [y for _, y in curve]
    return (
        f"{name} goes from {heights[0]:.3g} to {heights[-1]:.3g}, "
        f"between {min(heights):.3g} and {max(heights):.3g}"
    )
