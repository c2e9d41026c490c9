"""How well encoders serve, and what they cost: data sets by encoders, one table.

    python -m tests.benchmarks.accuracy --data FOLDER [--encoders english,minilm,PIPELINE]
        [--datasets wnut17,ag_news] [--rows spacy,minilm-frozen] [--limit 100,0]
        [--seeds 0,1,2] [--headline ROWS] [--steps N] [--threads 1] [--output metrics/benchmark]

Each cell trains and scores one pipeline with `init-config`, `spacy train` and `spacy evaluate`, in
processes of their own, and becomes a file beneath OUTPUT/cells; it is not run again as long as its
commands, data, encoder and the versions of the packages stay the same. A run that was interrupted
goes on with the first cell that is missing. `--table` alone writes table.md and table.json of
what is there. Run it in the folder of project.yml; it writes to corpus/ and training/ too.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import typer

from .accuracy_cells import list_cells, list_rows
from .accuracy_data import DATA_SETS, DataSet
from .accuracy_runs import Failed, Job, run_job, run_once
from .accuracy_table import write_table

Value = TypeVar("Value")

#: Rows that run with all seeds.
HEADLINE = "spacy,english-frozen,minilm-frozen"


def main(
    data: Path = typer.Option(Path("assets"), help="Folder of ner/NAME and textcat/NAME"),
    encoders: str = typer.Option("english,minilm", help="Names or pipelines for init-config"),
    datasets: str = typer.Option(",".join(DATA_SETS), help="Data sets"),
    rows: str = typer.Option("", help="Rows, by default all"),
    limit: str = typer.Option("0", help="Numbers of training examples, 0 for all"),
    seeds: str = typer.Option("0", help="Seeds of the headline rows; others have the first"),
    headline: str = typer.Option(HEADLINE, help="Rows that have all seeds"),
    steps: int = typer.Option(0, help="Steps of each cell, 0 for those of the row"),
    output: Path = typer.Option(Path("metrics/benchmark"), help="Folder for results"),
    threads: int = typer.Option(1, help="Threads of each process"),
    keep: bool = typer.Option(False, "--keep", help="Keep the trained pipelines"),
    table: bool = typer.Option(False, "--table", help="Only write the table of what is there"),
) -> None:
    """Run the cells that are missing, then write the table."""
    failed = 0
    if not table:
        known = list_rows(encoders.split(","))
        cells = list_cells(
            prepare_data(pick(DATA_SETS, datasets, "datasets"), data),
            pick(known, rows or ",".join(known), "rows"),
            limits=numbers(limit),
            seeds=numbers(seeds),
            headline=headline.split(","),
            steps=steps,
        )
        jobs = {cell.name: cell.job() for cell in cells}
        failed = run_jobs(jobs, output, threads=threads, keep=keep)
    say(f"{len(write_table(output))} rows in {output / 'table.md'}")
    if failed:
        raise SystemExit(f"{failed} cells failed; run the same command again")


def run_jobs(jobs: Mapping[str, Job], output: Path, **options: Any) -> int:
    """Run what is missing beneath OUTPUT/cells, and count what failed. options: of run_job."""
    failed = 0
    for i, (name, job) in enumerate(jobs.items(), start=1):
        place = f"[{i}/{len(jobs)}] {name}"
        try:
            is_new = run_job(job, output / "cells" / f"{name}.json", **options)
        except Failed as error:
            failed += 1
            say(f"{place}: FAILED, {error}")
        else:
            say(f"{place}: {'done' if is_new else 'was there'}")
    return failed


def prepare_data(data_sets: Iterable[DataSet], data: Path) -> list[DataSet]:
    """Those that are in a folder, in spaCy's format."""
    found = []
    for data_set in data_sets:
        folder = data_set.folder(data)
        if not folder.is_dir():
            say(f"no {folder}: {data_set.name} is left out")
            continue
        try:
            run_once(data_set.convert(data), [folder], data_set.corpus)
        except Failed as error:
            raise SystemExit(str(error)) from None
        found.append(data_set)
    return found


def pick(known: Mapping[str, Value], names: str, option: str) -> list[Value]:
    """Values by their names, in the order of the table."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"--{option}: no {unknown}; there are {list(known)}")
    return [value for name, value in known.items() if name in wanted]


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def say(text: Any) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
