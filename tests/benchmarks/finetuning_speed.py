"""How fast fine-tuning is here and with Hugging Face's Trainer, on the same batches.

    python -m tests.benchmarks.finetuning_speed CHECKPOINT --data FOLDER --hf PYTHON
        [--datasets wnut17,ag_news] [--encoders minilm,english] [--precisions fp32,bf16]
        [--steps 12] [--batch 200] [--rounds 2] [--threads 1] [--output FILE]

CHECKPOINT is the folder of a published BERT, such as all-MiniLM-L6-v2, "minilm" in the table;
"english" is the encoder of this package, which `export bert` writes for the Trainer. PYTHON is that
of an environment with transformers, torch and accelerate. Run it in the folder of project.yml.

The contestants are an encoder with spaCy's own component on it, an encoder with the linear layer of
`ctxemb_ner` or `ctxemb_textcat`, and transformers' AutoModelFor..., which has such a layer too. All
of the model is trained. Each runs in a process of its own, and they take turns. All get the same
texts in the same batches, of 200 words or a little more, the same rate, which falls in a line, the
same dropout, and Adam without decay and clipping.

What stays different: the Trainer has its texts as numbers before the clock starts, as is usual
there, and pads them in each step; here a step includes the tokenizer.

Printed are words a second, as spaCy counts words, from the second step on: medians of the rounds,
and in brackets words a second of CPU time, which other programs disturb less.
"""

import gzip
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import spacy
import typer

from .accuracy import pick, say
from .accuracy_data import DATA_SETS, DataSet
from .accuracy_runs import write_json

#: Titles of contestants: the file that runs one, and what stands on the encoder.
HERE, TRAINER = "finetuning_speed_here.py", "finetuning_speed_trainer.py"
CONTESTANTS = {
    "ctxemb, spaCy's component": (HERE, "spacy"),
    "ctxemb, linear layer": (HERE, "linear"),
    "Trainer": (TRAINER, "linear"),
}
PACKAGES = "torch, transformers, accelerate"
#: Where the encoder lies that the Trainer cannot load as it ships.
EXPORTED = Path("training/benchmark/speed/english")
RATE = 1e-4

Batch = list[dict[str, Any]]


def main(
    checkpoint: Path = typer.Argument(..., help="Folder of transformers' files", exists=True),
    data: Path = typer.Option(Path("assets"), help="Folder of ner/wnut17 and textcat/ag_news"),
    hf: str = typer.Option(..., help=f"Python that has {PACKAGES}"),
    datasets: str = typer.Option("wnut17,ag_news", help="Data sets"),
    encoders: str = typer.Option("minilm,english", help="Encoders"),
    precisions: str = typer.Option("fp32,bf16", help="Types of the factors of products"),
    steps: int = typer.Option(12, help="Steps, with the first one, which is not timed"),
    batch: int = typer.Option(200, help="Words in a step, at least"),
    rounds: int = typer.Option(2, help="Alternating rounds"),
    threads: int = typer.Option(1, help="Threads of each process"),
    output: Path | None = typer.Option(None, help="JSON file for results"),
) -> None:
    """Run all contestants in turns, and print a table."""
    check_packages(hf)
    folders = pick({"minilm": checkpoint, "english": EXPORTED}, encoders, "encoders")
    if EXPORTED in folders:
        export_english(EXPORTED)
    rows = []
    for data_set in pick(DATA_SETS, datasets, "datasets"):
        batches = list(itertools.islice(cut_batches(read(data_set, data), batch), steps))
        for folder, precision in itertools.product(folders, precisions.split(",")):
            job = {
                "task": data_set.task,
                "batches": batches,
                "rate": RATE,
                "precision": precision,
            }
            found: dict[str, list[dict[str, float]]] = {title: [] for title in CONTESTANTS}
            for number in range(rounds):
                # The first of them has no advantage that way.
                for title in list(CONTESTANTS)[:: -1 if number % 2 else 1]:
                    seconds = run(title, describe(job, title, folder), hf, threads)
                    found[title].append(seconds)
            name = "english" if folder == EXPORTED else "minilm"
            row = {"data_set": data_set.name, "encoder": name, "precision": precision}
            rows.append({**row, "rates": summarise(found, count_words(batches[1:]))})
            say(render(rows[-1:]).splitlines()[-1])
    if output is not None:
        write_json(output, {"threads": threads, "batch": batch, "rows": rows})
    print(render(rows))


def check_packages(python: str) -> None:
    """Stop where the Trainer could not run."""
    found = subprocess.run([python, "-c", f"import {PACKAGES}"], capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(
            f"{found.stderr}{python} lacks a package that the Trainer needs. "
            f"Install {PACKAGES} there."
        )


def export_english(folder: Path) -> None:
    """Write the encoder of this package for transformers, once."""
    if (folder / "config.json").exists():
        return
    pipeline = folder.with_name("english_pipeline")
    folder.parent.mkdir(parents=True, exist_ok=True)
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb")
    nlp.initialize()
    nlp.to_disk(pipeline)
    command = [sys.executable, "-m", "spacy", "ctxemb", "export", "bert"]
    subprocess.run([*command, str(pipeline), str(folder)], check=True, stdout=sys.stderr)


def read(data_set: DataSet, data: Path) -> Iterator[dict[str, Any]]:
    """Training examples: words and tags, or words, a text and its label."""
    folder = data_set.folder(data)
    if data_set.task == "ner":
        blocks = (folder / "train.conll").read_text(encoding="utf8").split("\n\n")
        for block in filter(None, map(str.strip, blocks)):
            words, tags = zip(*(line.split("\t") for line in block.splitlines()), strict=True)
            yield {"words": words, "tags": tags}
        return
    tokenizer = spacy.blank(data_set.lang).tokenizer
    with gzip.open(folder / "train.jsonl.gz", "rt", encoding="utf8") as file:
        for row in map(json.loads, file):
            words = [token.text for token in tokenizer(row["text"])]
            yield {"words": words, "text": row["text"], "label": row["label"]}


def cut_batches(examples: Iterator[dict[str, Any]], size: int) -> Iterator[Batch]:
    """Batches of so many words or a little more."""
    batch: Batch = []
    for example in examples:
        batch.append(example)
        if count_words([batch]) >= size:
            yield batch
            batch = []


def count_words(batches: Sequence[Batch]) -> int:
    return sum(len(example["words"]) for batch in batches for example in batch)


def describe(job: dict[str, Any], title: str, folder: Path) -> dict[str, Any]:
    """What one contestant is asked for. encoder: None for the one of this package."""
    file, head = CONTESTANTS[title]
    is_own = file == HERE and folder == EXPORTED
    return {**job, "head": head, "encoder": None if is_own else str(folder.resolve())}


def run(title: str, job: dict[str, Any], hf: str, threads: int) -> dict[str, float]:
    """Seconds of a process of its own, which prints them last."""
    file, _ = CONTESTANTS[title]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    finished = subprocess.run(
        [hf if file == TRAINER else sys.executable, str(Path(__file__).with_name(file))],
        input=json.dumps(job),
        env=environment,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        raise SystemExit(f"{finished.stderr}{title} ended with code {finished.returncode}.")
    seconds: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return seconds


def summarise(
    found: dict[str, list[dict[str, float]]], n_words: int
) -> dict[str, dict[str, float]]:
    """Words a second by contestant and clock, medians of the rounds."""
    return {
        title: {
            clock: n_words / statistics.median(one[clock] for one in rounds)
            for clock in ("seconds", "cpu_seconds")
        }
        for title, rounds in found.items()
    }


def render(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: words a second, of CPU time in brackets."""
    headings = ["data", "encoder", "precision", *CONTESTANTS]
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    for row in rows:
        rates = [row["rates"][title] for title in CONTESTANTS]
        cells = [f"{rate['seconds']:,.0f} ({rate['cpu_seconds']:,.0f})" for rate in rates]
        lines.append(
            f"| {' | '.join([row['data_set'], row['encoder'], row['precision'], *cells])} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
