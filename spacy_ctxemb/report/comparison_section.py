"""The table and the picture of a comparison, from results of `python -m spacy ctxemb compare`."""

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .plots import COLOURS, DASHES, Plot, to_png
from .read_metrics import LearnedMix, Row, Run
from .tables import SCORES, Cell, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Uses of a word on a plane: (x, y) of each use, by sense.
Senses = Mapping[str, Sequence[tuple[float, float]]]

#: The sense of a word without context.
CONTEXT_FREE = "no context"


def comparison_table(results: Sequence[Row]) -> Table:
    """Configs by corpora and sizes: mean scores times 100, and the standard deviation of seeds."""
    columns = group(results)
    names = list(dict.fromkeys(result["config"] for result in results))
    rows = [[Cell(name)] for name in names]
    for scores in columns.values():
        means = {name: f"{statistics.mean(found):.1f}" for name, found in scores.items()}
        best = max(means.values(), key=float)
        for name, row in zip(names, rows, strict=True):
            text = "–"
            if name in scores:
                spread = statistics.stdev(scores[name]) if len(scores[name]) > 1 else None
                text = means[name] + (f" ± {spread:.1f}" if spread is not None else "")
            row.append(Cell(text, means.get(name) == best and len(means) > 1))
    return Table(["", *(f"{corpus}, {size}" for corpus, size in columns)], rows)


def group(results: Sequence[Row]) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Scores times 100 by corpus and size, then by config. "100 examples" come before all."""
    columns: dict[tuple[str, str], dict[str, list[float]]] = {}
    for result in sorted(results, key=lambda row: (row["corpus"], row["n_examples"])):
        n_examples = result["n_examples"]
        size = f"{n_examples} examples" if result["n_labelled"] else f"all {n_examples}"
        scores = columns.setdefault((result["corpus"], size), {})
        scores.setdefault(result["config"], []).append(100 * result["score"])
    return columns


def detailed_runs(results: Sequence[Row]) -> list[Run]:
    """Of each config and corpus the run with most examples and the first seed."""
    chosen = {
        (result["corpus"], result["config"]): result
        for result in sorted(results, key=lambda row: (row["n_examples"], -row["seed"]))
    }
    return [
        Run(corpus, config, row["scores"], row["log"], [LearnedMix(**mix) for mix in row["mixes"]])
        for (corpus, config), row in chosen.items()
    ]


def plot_comparison(results: Sequence[Row], senses: Senses | None, word: str) -> Plot:
    """Scores by number of examples, a part for each corpus; and the senses of a word."""
    from matplotlib.figure import Figure

    corpora = sorted({result["corpus"] for result in results})
    n_parts = len(corpora) + (senses is not None)
    figure = Figure(figsize=(3.4 * n_parts, 3.4), layout="constrained")
    parts = figure.subplots(1, n_parts, squeeze=False)[0]
    for corpus, axes in zip(corpora, parts, strict=False):
        plot_sizes(axes, [result for result in results if result["corpus"] == corpus])
    handles, names = parts[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=len(names), frameon=False)
    alt = "Mean test scores by the number of labelled examples. " + describe(results)
    if senses is not None:
        plot_senses(parts[-1], senses, word)
        n_uses = sum(len(points) for sense, points in senses.items() if sense != CONTEXT_FREE)
        named = " and ".join(sense for sense in senses if sense != CONTEXT_FREE)
        alt += f" Beside it {n_uses} uses of the word {word} on a plane, by sense: {named};"
        alt += " without context they are one point."
    return Plot(to_png(figure), alt)


def plot_sizes(axes: "Axes", results: Sequence[Row]) -> None:
    """Means of seeds as a line for each config, with bars as long as the standard deviation."""
    columns = group(results)
    names = list(dict.fromkeys(result["config"] for result in results))
    for i, name in enumerate(names):
        found = [(x, scores[name]) for x, scores in enumerate(columns.values()) if name in scores]
        axes.errorbar(
            [x + 0.03 * (i - 1) for x, _ in found],
            [statistics.mean(scores) for _, scores in found],
            [statistics.stdev(scores) if len(scores) > 1 else 0.0 for _, scores in found],
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


def plot_senses(axes: "Axes", senses: Senses, word: str) -> None:
    """Each use of the word as a point."""
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


def describe(results: Sequence[Row]) -> str:
    """The means, in words."""
    return " ".join(
        f"{corpus}, {size}: "
        + ", ".join(f"{name} {statistics.mean(found):.1f}" for name, found in scores.items())
        + "."
        for (corpus, size), scores in group(results).items()
    )
