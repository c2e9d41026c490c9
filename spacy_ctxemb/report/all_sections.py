"""What a report tells, in reading order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from .format_tables import (
    Table,
    comparison_table,
    label_table,
    mix_table,
    perplexity_table,
    score_table,
)
from .plots import Plot, Senses, plot_comparison, plot_curves
from .read_metrics import Figures, LearnedMix, Row, Run, find_pretraining_losses

#: Where `spacy evaluate` puts the F scores of labels, and what these are.
LABELS = {
    "ents_per_type": "entity type",
    "cats_f_per_type": "category",
    "spans_sc_per_type": "span type",
    "dep_las_per_type": "dependency relation",
}


@dataclass(frozen=True)
class Section:
    """A table, a plot or both. picture: the name of the plot's own file, where it has one.

    in_terminal: whether the table is shown there too.
    """

    title: str
    note: str
    table: Table | None = None
    plot: Plot | None = None
    picture: str | None = None
    in_terminal: bool = False


def build_sections(
    figures: Figures, senses: Senses | None = None, word: str = ""
) -> Iterator[Section]:
    """The sections that have something to tell. senses: of the word, for the picture."""
    if figures.results:
        yield comparison_section(figures, senses, word)
    runs = sorted([*figures.runs, *choose_runs(figures.results)], key=lambda run: run.task)
    names = sorted({*(run.name for run in runs), *figures.pretraining})
    for task, found in groupby(runs, key=lambda run: run.task):
        yield from task_sections(task, list(found), names)
    yield from pretraining_sections(figures, names)
    mixes = [mix for run in runs for mix in run.mixes]
    if mixes:
        note = (
            "What each task has learned to take from the layers, in percent: the softmax of the "
            "weights of ScalarMix, or of the LayerMixListener of a component. Layer 0 is "
            "context-free; gamma scales the sum."
        )
        yield Section("Layer weights", note, mix_table(mixes))


def comparison_section(figures: Figures, senses: Senses | None, word: str) -> Section:
    note = (
        "Scores on the test sets times 100: the mean, and the standard deviation where there are "
        "several seeds; the best in bold. Each seed chooses other examples, the same for all rows. "
        "The development set chose the best state of each training. The sections below are about "
        "the runs with most examples and the first seed."
    )
    table = comparison_table(figures.results)
    plot = plot_comparison(figures.results, senses, word)
    return Section("Comparison", note, table, plot, picture="comparison.png", in_terminal=True)


def choose_runs(results: Sequence[Row]) -> list[Run]:
    """Of each config and corpus the run with most examples and the first seed."""
    chosen = {
        (result["corpus"], result["config"]): result
        for result in sorted(results, key=lambda row: (row["n_examples"], -row["seed"]))
    }
    return [
        Run(corpus, config, row["scores"], row["log"], [LearnedMix(**mix) for mix in row["mixes"]])
        for (corpus, config), row in chosen.items()
    ]


def task_sections(task: str, runs: Sequence[Run], names: Sequence[str]) -> Iterator[Section]:
    table = score_table(runs)
    if table.rows:
        note = "Scores of spacy evaluate times 100, the best in bold; words/s is its speed."
        yield Section(f"{task}: scores", note, table, in_terminal=True)
    for key, labels in LABELS.items():
        table = label_table(runs, key)
        if table.rows:
            note = "F scores times 100, the best run in bold."
            yield Section(f"{task}: F by {labels}", note, table)
    logged = [run for run in runs if run.log]
    if logged:
        scores = {r.name: [(row["step"], 100 * row["score"]) for row in r.log] for r in logged}
        note = "The score that chooses the best model, on the development data, times 100."
        plot = plot_curves(scores, names, x_label="steps", y_label="dev score")
        yield Section(f"{task}: dev score", note, plot=plot)


def pretraining_sections(figures: Figures, names: Sequence[str]) -> Iterator[Section]:
    table = perplexity_table(figures.perplexities)
    if table.rows:
        note = (
            "On held-out text; lower is better. Words that are predicted from one side, and "
            "pieces that are hidden between others, are different tasks: compare within a column."
        )
        yield Section("Perplexity", note, table)
    losses = {name: find_pretraining_losses(rows) for name, rows in figures.pretraining.items()}
    losses = {name: curve for name, curve in losses.items() if curve}
    if losses:
        note = "Mean loss of a word, in nats, over an epoch. Compare within an objective only."
        plot = plot_curves(losses, names, x_label="words seen", y_label="loss per word")
        yield Section("Pretraining loss", note, plot=plot)
