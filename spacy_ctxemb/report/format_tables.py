"""The tables of a report."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from wasabi import msg

from .read_metrics import LearnedMix, Row, Run

#: Scores of `spacy evaluate`, in the order of columns. Those of text categories are below.
SCORES = {
    "ents_p": "precision",
    "ents_r": "recall",
    "ents_f": "F",
    "spans_sc_f": "span F",
    "tag_acc": "tag accuracy",
    "pos_acc": "POS accuracy",
    "morph_acc": "morph accuracy",
    "lemma_acc": "lemma accuracy",
    "dep_uas": "UAS",
    "dep_las": "LAS",
    "sents_f": "sentence F",
}


class Cell(NamedTuple):
    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """The first cell of a row names it."""

    header: list[str]
    rows: list[list[Cell]]


def comparison_table(results: Sequence[Row]) -> Table:
    """Configs by corpora and sizes: mean scores times 100, and the standard deviation of seeds."""
    columns = group_scores(results)
    names = list(dict.fromkeys(result["config"] for result in results))
    cells = [mark_means([scores.get(name, []) for name in names]) for scores in columns.values()]
    rows = [[Cell(name), *row] for name, *row in zip(names, *cells, strict=True)]
    return Table(["", *(f"{corpus}, {size}" for corpus, size in columns)], rows)


def group_scores(results: Sequence[Row]) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Scores by corpus and size, then by config. "100 examples" come before all."""
    columns: dict[tuple[str, str], dict[str, list[float]]] = {}
    for result in sorted(results, key=lambda row: (row["corpus"], row["n_examples"])):
        n_examples = result["n_examples"]
        size = f"{n_examples} examples" if result["n_labelled"] else f"all {n_examples}"
        scores = columns.setdefault((result["corpus"], size), {})
        scores.setdefault(result["config"], []).append(result["score"])
    return columns


def score_table(runs: Sequence[Run]) -> Table:
    scores = {run.name: dict(name_scores(run.scores)) for run in runs if run.scores}
    speeds = {run.name: run.scores.get("speed") for run in runs if run.scores}
    titles = list(dict.fromkeys(title for row in scores.values() for title in row))
    columns = [mark_best([row.get(title) for row in scores.values()]) for title in titles]
    if any(speeds.values()):
        titles.append("words/s")
        columns.append([Cell(f"{speed:,.0f}" if speed else "–") for speed in speeds.values()])
    rows = [[Cell(name), *cells] for name, *cells in zip(scores, *columns, strict=True)]
    return Table(["run", *titles], rows if columns else [])


def name_scores(scores: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """(title, score) for all scores of a run, each title once or with equal scores."""
    description = scores.get("cats_score_desc")
    titles = {
        **SCORES,
        # A class too many is also a class missed where classes exclude each other.
        "cats_micro_f": "micro F" if description == "macro AUC" else "accuracy (= micro F)",
        "cats_macro_f": "macro F",
        "cats_score": str(description),
    }
    for key, title in titles.items():
        if is_number(scores.get(key)):
            yield title, scores[key]


def label_table(runs: Sequence[Run], key: str) -> Table:
    """Labels by runs: F scores. key: of {label: {"p": ..., "r": ..., "f": ...}} in the scores."""
    columns = {run.name: run.scores[key] for run in runs if run.scores.get(key)}
    labels = sorted({label for column in columns.values() for label in column})
    rows = [
        [Cell(label), *mark_best([column.get(label, {}).get("f") for column in columns.values()])]
        for label in labels
    ]
    return Table(["label", *columns], rows)


def perplexity_table(perplexities: dict[str, dict[str, float]]) -> Table:
    kinds = list(dict.fromkeys(kind for row in perplexities.values() for kind in row))
    rows = [
        [Cell(name), *(Cell(f"{row[kind]:,.2f}" if kind in row else "–") for kind in kinds)]
        for name, row in perplexities.items()
    ]
    return Table(["encoder", *kinds], rows if kinds else [])


def mix_table(mixes: Sequence[LearnedMix]) -> Table:
    n_layers = max((len(mix.shares) for mix in mixes), default=0)
    rows = []
    for mix in mixes:
        shares = [f"{100 * share:.1f}" for share in mix.shares]
        missing = ["–"] * (n_layers - len(shares))
        rows.append([Cell(text) for text in (mix.label, *shares, *missing, f"{mix.gamma:.2f}")])
    return Table(["run", *(f"layer {i}" for i in range(n_layers)), "gamma"], rows)


def print_table(table: Table, title: str = "") -> None:
    """Show a table in the terminal, an asterisk behind the best."""
    rows = [[f"{cell.text} *" if cell.best else cell.text for cell in row] for row in table.rows]
    aligns = ["l", *("r" for _ in table.header[1:])]
    msg.table(rows, header=table.header, aligns=aligns, divider=True, title=title)


def to_markdown(table: Table) -> str:
    """A table with its numbers to the right."""
    rows = [[f"**{cell.text}**" if cell.best else cell.text for cell in row] for row in table.rows]
    lines = [table.header, [":--", *("--:" for _ in table.header[1:])], *rows]
    return "\n".join(
        "| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in lines
    )


def mark_means(groups: Sequence[Sequence[float]]) -> list[Cell]:
    """The means, as mark_best shows them, and the standard deviations of several scores."""
    cells = mark_best([statistics.mean(scores) if scores else None for scores in groups])
    spreads = [f" ± {100 * statistics.stdev(s):.1f}" if len(s) > 1 else "" for s in groups]
    return [
        Cell(cell.text + spread, cell.best) for cell, spread in zip(cells, spreads, strict=True)
    ]


def mark_best(scores: Sequence[float | None]) -> list[Cell]:
    """Scores times 100; the highest is marked where there are several to choose from."""
    texts = [f"{100 * score:.1f}" if is_number(score) else "–" for score in scores]
    numbers = [score for score in scores if is_number(score)]
    best = f"{100 * max(numbers):.1f}" if len(numbers) > 1 else None
    return [Cell(text, text == best) for text in texts]


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float)
