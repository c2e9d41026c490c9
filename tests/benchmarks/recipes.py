"""Which recipe trains best: variants of what `init-config` writes, scored on development sets.

    python -m tests.benchmarks.recipes --data FOLDER --options="--encoder english --freeze"
        --variant="" --variant="--training.optimizer.learn_rate 0.002" --variant="--listener-mix"
        [--datasets wnut17,ag_news] [--limit 1000] [--steps 500] [--seeds 0,1]
        [--lang en] [--threads 1] [--output metrics/recipes]

Options and variants are those of `init-config`, and settings of the config, which have dots. The
first variant is what the others are compared with. Data sets are the folders FOLDER/ner/NAME and
FOLDER/textcat/NAME with train and dev; no trial sees a test file. A trial that ended is not run
again as long as its commands, data, the recipes and the versions of the packages stay the same.
Run it in the folder of project.yml; it writes to corpus/ and training/ too.
"""

import hashlib
import re
import shlex
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from spacy_ctxemb import config_writer

from .accuracy import numbers, pick, prepare_data, run_jobs, say
from .accuracy_cells import STEP_LOG, write_train
from .accuracy_data import DataSet
from .accuracy_keys import Json
from .accuracy_runs import Finished, Job, read_json, read_log

#: Where trials are trained, and the data lie in spaCy's format.
TRAINING = Path("training/recipes")
CORPORA = Path("corpus/recipes")
#: What makes configs of the options.
WRITER = Path(config_writer.__path__[0])


class Trial(NamedTuple):
    """options: of all variants. limit: training examples, 0 for all. seed: of training."""

    data_set: DataSet
    options: str
    variant: str
    limit: int
    steps: int
    seed: int

    @property
    def name(self) -> str:
        options = f"{self.options} {self.variant}"
        words = re.sub(r"[^\w.]+", "-", options).strip("-")[-80:]
        digest = hashlib.sha256(options.encode()).hexdigest()[:8]
        place = f"{self.data_set.task}/{self.data_set.name}"
        return f"{place}/{words}-{digest}-{self.limit}-{self.steps}-seed{self.seed}"

    def job(self) -> Job:
        """What is run, and what its result says."""
        folder, data_set = TRAINING / self.name, self.data_set
        written, settings = split_options(f"{self.options} {self.variant}")
        write = ["ctxemb", "init-config", str(folder / "config.cfg"), "--lang", data_set.lang]
        train = write_train(folder, data_set, limit=self.limit, steps=self.steps, seed=self.seed)
        commands = {
            "config": [*write, "--task", data_set.task, *written],
            "train": [*train, *settings],
        }
        about = {**self._asdict(), "data_set": data_set.name}
        inputs = [STEP_LOG, *sorted(WRITER.glob("*.*")), data_set.corpus / "benchmark.json"]
        return Job(folder, commands, data_set.score, inputs, about)


def main(
    data: Path = typer.Option(Path("assets"), help="Folder of ner/NAME and textcat/NAME"),
    options: str = typer.Option("--freeze", help="Options and settings of all variants"),
    variant: list[str] = typer.Option([""], help="Options and settings of one variant"),
    datasets: str = typer.Option("", help="Data sets, by default all"),
    limit: str = typer.Option("0", help="Numbers of training examples, 0 for all"),
    steps: int = typer.Option(500, help="Steps of each trial"),
    seeds: str = typer.Option("0", help="Seeds"),
    lang: str = typer.Option("en", help="Language of the data sets"),
    output: Path = typer.Option(Path("metrics/recipes"), help="Folder for results"),
    threads: int = typer.Option(1, help="Threads of each process"),
) -> None:
    """Run the trials that are missing, and print the table."""
    data_sets = prepare_data(find_data_sets(data, datasets, lang), data)
    failed = 0
    for n in numbers(limit):
        trials = [
            Trial(data_set, options, name, n, steps, seed)
            for seed in numbers(seeds)
            for data_set in data_sets
            for name in variant
        ]
        jobs = {trial.name: trial.job() for trial in trials}
        failed += run_jobs(jobs, output, threads=threads, measure=find_best)
        say(f"{n or 'all'} training examples")
        print(render(read_scores(trials, output), variant), flush=True)
    if failed:
        raise SystemExit(f"{failed} trials failed; run the same command again")


def find_data_sets(data: Path, names: str, lang: str) -> list[DataSet]:
    """All folders with data, or those with the names."""
    found = [
        DataSet(folder.name, task, lang, CORPORA / task, ("train", "dev"))
        for task in ("ner", "textcat")
        for folder in sorted(path for path in (data / task).glob("*") if path.is_dir())
        if {"train", "dev"} <= {file.name.split(".")[0] for file in folder.iterdir()}
    ]
    known = {data_set.name: data_set for data_set in found}
    return pick(known, names or ",".join(known), "datasets")


def split_options(text: str) -> tuple[list[str], list[str]]:
    """Those of `init-config`, and settings, whose names have dots, for `spacy train`."""
    written: list[str] = []
    settings: list[str] = []
    part = written
    for word in shlex.split(text):
        if word.startswith("--"):
            part = settings if "." in word.partition("=")[0] else written
        part.append(word)
    return written, settings


def find_best(job: Job, finished: dict[str, Finished]) -> Json:
    """The best evaluation of a training, which `spacy train` saves."""
    rows = read_log(job.folder / "steps.jsonl")
    best = max(rows, key=lambda row: row["score"])
    seconds = round(finished["train"].seconds, 1)
    return {"score": best["score"], "step": best["step"], "train_seconds": seconds}


Scores = dict[tuple[str, str], list[float]]


def read_scores(trials: Sequence[Trial], output: Path) -> Scores:
    """Scores in percent over seeds, by data set and variant; those that are there."""
    scores: Scores = {}
    for trial in trials:
        path = output / "cells" / f"{trial.name}.json"
        if path.exists():
            same = scores.setdefault((trial.data_set.name, trial.variant), [])
            same.append(100 * read_json(path)["score"])
    return scores


def render(scores: Scores, variants: Sequence[str]) -> str:
    """Markdown: means over seeds, ± standard deviations, and how far above the first variant."""
    names = list(dict.fromkeys(name for name, _ in scores))
    lines = [
        f"| variant | {' | '.join(names)} | mean difference |",
        "|---" * (len(names) + 2) + "|",
    ]
    for variant in variants:
        cells = [render_scores(scores.get((name, variant), [])) for name in names]
        gains = list(list_gains(scores, names, variant, variants[0]))
        gain = f"{statistics.fmean(gains):+.1f}" if gains else ""
        lines.append(f"| `{variant or 'as written'}` | {' | '.join(cells)} | {gain} |")
    return "\n".join(lines)


def render_scores(scores: Sequence[float]) -> str:
    if not scores:
        return ""
    spread = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{statistics.fmean(scores):.1f}{spread}"


def list_gains(scores: Scores, names: Sequence[str], variant: str, first: str) -> Iterator[float]:
    """How far a variant is above the first, on each data set that has scores of both."""
    for name in names:
        mine, others = scores.get((name, variant)), scores.get((name, first))
        if mine and others:
            yield statistics.fmean(mine) - statistics.fmean(others)


if __name__ == "__main__":
    typer.run(main)
