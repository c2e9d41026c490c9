"""The table of accuracy: all cells of a folder, over their seeds, as JSON and Markdown."""

import json
import statistics
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from .accuracy_cells import DEV_LIMIT, SPACY, WAYS
from .accuracy_data import DATA_SETS

Json = dict[str, Any]

#: The columns of figures: heading, key of the cell, digits.
COLUMNS = (
    ("steps", "steps", 0),
    ("words", "words", 0),
    ("training words/s", "train_words_per_second", 0),
    ("training words/s of CPU", "train_words_per_cpu_second", 0),
    ("prediction words/s", "predict_words_per_second", 0),
    ("training MB", "train_megabytes", 0),
    ("prediction MB", "predict_megabytes", 0),
    ("MB on disk", "disk_megabytes", 1),
)


def write_table(folder: Path) -> list[Json]:
    """table.json and table.md, of the cells beneath cells/."""
    rows = summarise(read_cells(folder / "cells"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("table.json", json.dumps(rows, indent=2)), ("table.md", render(rows))):
        temporary = folder / f"{name}.tmp"
        temporary.write_text(text + "\n", encoding="utf8")
        temporary.replace(folder / name)
    return rows


def read_cells(folder: Path) -> list[Json]:
    return [json.loads(path.read_text(encoding="utf8")) for path in folder.glob("*/*.json")]


def summarise(cells: Iterable[Json]) -> list[Json]:
    """A row for the cells that differ in nothing but their seed: mean score, and medians."""
    rows = []
    for _, group in groupby(sorted(cells, key=by(with_seed=True)), key=by(with_seed=False)):
        same = list(group)
        scores = [100 * cell["score"] for cell in same]
        row = {key: same[0][key] for key in ("data_set", "row", "limit", "metric", "threads")}
        row["seeds"] = [cell["seed"] for cell in same]
        row["score"] = round(statistics.fmean(scores), 2)
        row["spread"] = round(statistics.stdev(scores), 2) if len(scores) > 1 else None
        for _, key, _ in COLUMNS:
            row[key] = statistics.median(cell[key] or 0 for cell in same)
        row["commands"] = same[0]["commands"]
        rows.append(row)
    return rows


def by(*, with_seed: bool) -> Callable[[Json], tuple[Any, ...]]:
    """The order of cells: that of the DATA_SETS; spaCy alone, and each encoder in its WAYS."""
    data_sets, ways = list(DATA_SETS), ["", *WAYS]

    def key(cell: Json) -> tuple[Any, ...]:
        place = (data_sets.index(cell["data_set"]), cell["limit"] or float("inf"))
        encoder, _, way = ("", "", "") if cell["row"] == SPACY else cell["row"].rpartition("-")
        row = (encoder, ways.index(way), cell["steps"])
        return (*place, *row, cell["threads"], *([cell["seed"]] if with_seed else []))

    return key


def render(rows: Iterable[Json]) -> str:
    """Markdown: a section for each data set and number of training examples."""
    parts = [
        "# Accuracy\n",
        "Mean score in percent, ± the standard deviation over seeds; medians of all else. MB: the "
        "largest memory of a process. Of each training the pipeline is scored that was best on "
        f"the first {DEV_LIMIT:,} examples of the development data.\n",
    ]
    for (name, limit), group in groupby(rows, key=lambda row: (row["data_set"], row["limit"])):
        same = list(group)
        examples = f"{limit} training examples" if limit else "all training examples"
        metric = "entity F" if same[0]["metric"] == "ents_f" else "accuracy"
        headings = ["row", metric, "seeds", *(heading for heading, _, _ in COLUMNS)]
        parts.append(f"## {name}: {examples}\n")
        parts.append(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
        parts.extend(f"| {' | '.join(render_row(row))} |" for row in same)
        parts.append("\nThe first seed of each row:\n\n```bash")
        parts.extend(f"# {row['row']}\n" + "\n".join(row["commands"].values()) for row in same)
        parts.append("```\n")
    return "\n".join(parts)


def render_row(row: Json) -> list[str]:
    spread = "" if row["spread"] is None else f" ± {row['spread']:.1f}"
    figures = (f"{row[key]:,.{digits}f}" for _, key, digits in COLUMNS)
    return [row["row"], f"{row['score']:.1f}{spread}", str(len(row["seeds"])), *figures]
