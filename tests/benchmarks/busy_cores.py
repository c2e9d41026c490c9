"""Words/s of two threads where batches are computed side by side, and one after the other.

    python -m tests.benchmarks.busy_cores [--busy 1] [--encoders minilm,english]
        [--texts 1000] [--rounds 5]

--busy: programs that compute meanwhile, each on one core. Short texts have 5 to 40 words, long
ones, of which there are fewer, 250 to 2,000. Both ways take turns in one process.
"""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import typer
from spacy.language import Language

from spacy_ctxemb.embedder import batch_threads

from .encode_scale import WORDS
from .text_similarity import load

#: Batches at a time.
WAYS = {"side by side": batch_threads.MAX_BATCHES, "one after the other": 1}


def main(
    busy: int = typer.Option(0, help="Programs that compute meanwhile"),
    encoders: str = typer.Option("minilm,english", help="Separated by commas"),
    texts: int = typer.Option(1000, help="Short texts; there are fewer long ones"),
    rounds: int = typer.Option(5, help="Measurements of each way"),
    threads: int = typer.Option(2, help="PyTorch's"),
) -> None:
    """Print a line for each encoder and length of texts."""
    torch.set_num_threads(threads)
    with others(busy):
        for name in encoders.split(","):
            nlp = load({"english": "en_transformer_sm"}.get(name, name))
            for kind, n, length in (("short", texts, 40), ("long", max(texts // 100, 2), 2000)):
                found = measure(nlp, write_texts(n, length), rounds)
                print(json.dumps({"encoder": name, "texts": kind, **found}), flush=True)


@contextmanager
def others(n: int) -> Iterator[None]:
    # They end with this process too.
    code = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def write_texts(n: int, length: int) -> list[str]:
    """Of up to so many words."""
    generator = random.Random(0)
    lengths = [generator.randint(length // 8, length) for _ in range(n)]
    return [" ".join(generator.choices(WORDS, k=k)) for k in lengths]


def measure(nlp: Language, texts: list[str], rounds: int) -> dict[str, int]:
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    try:
        for i in range(rounds + 1):
            for way, n in WAYS.items():
                batch_threads.MAX_BATCHES = n
                begin = time.perf_counter()
                n_words = sum(map(len, nlp.pipe(texts, batch_size=256)))
                if i:  # the first round warms up
                    found[way].append(n_words / (time.perf_counter() - begin))
    finally:
        batch_threads.MAX_BATCHES = WAYS["side by side"]
    return {way: round(statistics.median(speeds)) for way, speeds in found.items()}


if __name__ == "__main__":
    typer.run(main)
