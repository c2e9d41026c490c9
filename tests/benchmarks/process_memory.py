"""Words/s and memory of threads and of processes (Linux).

    python -m tests.benchmarks.process_memory [--model minilm] [--texts 4000] [--rounds 3]

Ways to send texts of 5 to 40 words through nlp.pipe, each in a process of its own, one after the
other in each round: one thread; two threads; two processes of spaCy (n_process); and these after
the parent has encoded a text, so that they share its packed weights. Prints medians of words/s, and
the most megabytes that the process and its children held together. A page that several share
counts once (PSS).
"""

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch
import typer

from .busy_cores import write_texts
from .text_similarity import load

#: PyTorch's threads, spaCy's processes, and whether the parent encodes a text before.
WAYS = {
    "1 thread": (1, 1, True),
    "2 threads": (2, 1, True),
    "2 processes": (1, 2, False),
    "2 processes after a first text": (1, 2, True),
}


def main(
    model: str = typer.Option("minilm", help="Weights of the package, or a pipeline on disk"),
    texts: int = typer.Option(4000, help="Texts of a measurement"),
    rounds: int = typer.Option(3, help="Measurements of each way"),
    way: str = typer.Option("", help="Measure this one here, once"),
) -> None:
    """Print a line for each way."""
    if way:
        print(json.dumps(measure(model, texts, *WAYS[way])))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for name, own in found.items():
            command = [sys.executable, "-m", __spec__.name, "--way", name]
            command += ["--model", model, "--texts", str(texts)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            own.append(json.loads(run.stdout.splitlines()[-1]))
    for name, own in found.items():
        medians = {key: round(statistics.median(one[key] for one in own)) for key in own[0]}
        print(json.dumps({"way": name, **medians}), flush=True)


def measure(
    model: str, n_texts: int, n_threads: int, n_processes: int, warm: bool
) -> dict[str, float]:
    torch.set_num_threads(n_threads)
    nlp = load(model)
    if warm:
        nlp("The otters slept.")
    texts = write_texts(n_texts, 40)
    done, held = threading.Event(), [0]
    watch = threading.Thread(target=watch_memory, args=(done, held))
    watch.start()
    begin = time.perf_counter()
    n_words = sum(len(doc) for doc in nlp.pipe(texts, n_process=n_processes, batch_size=256))
    seconds = time.perf_counter() - begin
    done.set()
    watch.join()
    return {"words/s": n_words / seconds, "MB": held[0] / 1e6}


def watch_memory(done: threading.Event, held: list[int]) -> None:
    """Keep the most bytes that this process and its children have held."""
    own, ended = os.getpid(), False
    while not ended:
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        held[0] = max(held[0], sum(map(count_bytes, [own, *children])))
        ended = done.wait(0.2)


def count_bytes(pid: object) -> int:
    try:
        found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    except OSError:  # it has ended meanwhile
        return 0
    return 1024 * int(found[1]) if found else 0


if __name__ == "__main__":
    typer.run(main)
