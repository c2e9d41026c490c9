"""Seconds from the start of Python to a first vector.

    python -m tests.benchmarks.start_time [--rounds 5] [--threads 1]
        [--starts english,minilm,"saved blank","saved english","saved minilm"]

Each start is in a process of its own, one after the other in each round; a round before them warms
the disk's cache and, where Python may write it, bytecode. All do `import spacy, torch` and
`spacy.blank("en")`, and then `nlp.add_pipe("ctxemb")`, or `spacy.load` of a saved pipeline, and a
first vector ("saved blank" has no component). Prints a line for each step: its own CPU seconds and
wall seconds, so that the last ones come on top of spaCy and PyTorch, median and range, and the
median of all since the start of Python. MiniLM needs the extra `minilm`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
import typer

from .text_similarity import load

#: What all processes do first.
FIRST = ("import spacy, torch", 'nlp = spacy.blank("en")')

VECTOR = 'nlp("first text")[0].vector'

#: What one of them does then. The saved pipelines lie in its folder.
STARTS = {
    "english": f'nlp.add_pipe("ctxemb"); {VECTOR}',
    "minilm": f'nlp.add_pipe("ctxemb", config={{"pretrained": "minilm"}}); {VECTOR}',
    "saved blank": f'nlp = spacy.load("saved blank"); {VECTOR}',
    "saved english": f'nlp = spacy.load("saved english"); {VECTOR}',
    "saved minilm": f'nlp = spacy.load("saved minilm"); {VECTOR}',
}

#: CPU seconds and wall seconds since the start of Python, after each step.
Marks = list[tuple[float, float]]


def main(
    rounds: int = typer.Option(5, help="Processes of each start"),
    threads: int = typer.Option(1, help="OMP_NUM_THREADS"),
    starts: str = typer.Option(",".join(STARTS), help="Separated by commas"),
) -> None:
    """Print a line for each step."""
    if unknown := [name for name in starts.split(",") if name not in STARTS]:
        raise SystemExit(f"--starts: no {unknown}; there are {list(STARTS)}")
    found: dict[str, list[Marks]] = {name: [] for name in starts.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        for name in found:
            if name.startswith("saved"):
                save(name.removeprefix("saved "), Path(folder, name))
        for i in range(rounds + 1):
            for name, own in found.items():
                marks = run(STARTS[name], folder, threads)
                if i:  # the first round warms up
                    own.append(marks)
    every = [marks for own in found.values() for marks in own]
    steps = [*((step, every) for step in FIRST), *found.items()]
    for i, (step, some) in enumerate(steps):
        print(json.dumps({"step": step, **summarise(some, min(i, len(FIRST)))}), flush=True)


def save(encoder: str, folder: Path) -> None:
    """Save a pipeline with an encoder; one without a component if it is "blank"."""
    name = {"english": "en_transformer_sm"}.get(encoder, encoder)
    nlp = spacy.blank("en") if encoder == "blank" else load(name)
    nlp.to_disk(folder)


def run(start: str, folder: str, threads: int) -> Marks:
    """Start a Python that does all steps."""
    show = "\nprint(time.process_time(), time.time() - float(sys.argv[1]))\n"
    code = "import sys, time\n" + show.join([*FIRST, start, ""])
    done = subprocess.run(
        [sys.executable, "-c", code, str(time.time())],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [(float(cpu), float(wall)) for cpu, wall in map(str.split, done.stdout.splitlines())]


def summarise(runs: Sequence[Marks], step: int) -> dict[str, Any]:
    """Of one step, by its number."""
    found = {}
    for i, kind in enumerate(("CPU s", "wall s")):
        whole = [marks[step][i] for marks in runs]
        own = [marks[step][i] - (marks[step - 1][i] if step else 0.0) for marks in runs]
        median, least, most, since = (
            round(value, 2)
            for value in (statistics.median(own), min(own), max(own), statistics.median(whole))
        )
        found[kind] = {"median": median, "range": [least, most], "since the start": since}
    return found


if __name__ == "__main__":
    typer.run(main)
