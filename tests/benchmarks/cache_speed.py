"""What a cache of features saves when a text classifier is trained on a frozen biLM.

    python tests/benchmarks/cache_speed.py --text FILE [--sentences 2000] [--epochs 2]

For no cache, one in memory, one on disk, and one on disk in float16: how long each epoch takes,
as a share of the first epoch without a cache; how much of an epoch the classifier takes alone,
which no cache can save; and the size. The encoder has random weights and the sizes of
`init-config --encoder bilm`, or ELMo's with --original. Alternating rounds, the medians.
"""

import bz2
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import spacy
import torch
import typer
from spacy.language import Language
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam, fix_random_seed

SIZES: dict[str, Any] = {"width": 256, "hidden_width": 256}
ORIGINAL: dict[str, Any] = {
    "width": 1024,
    "hidden_width": 4096,
    "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
    "n_highways": 2,
}
BATCH_SIZE = 32
FROZEN: dict[str, Any] = {"exclude": ["ctxemb"], "annotates": ["ctxemb"]}


def main(
    text: Path = typer.Option(..., help="Text, one sentence a line; plain or bz2", exists=True),
    sentences: int = typer.Option(2000, help="Sentences of the text to use"),
    epochs: int = typer.Option(2, help="Epochs"),
    rounds: int = typer.Option(3, help="Alternating rounds"),
    original: bool = typer.Option(False, "--original", help="ELMo's size"),
) -> None:
    """Print shares of the time of the first epoch without a cache."""
    lines = read_lines(text, sentences)
    encoder = ORIGINAL if original else SIZES
    results: dict[str, list[list[float]]] = {}
    megabytes: dict[str, float] = {}
    train(build_pipeline(encoder, None), lines[:BATCH_SIZE], 1)  # what is slow only once
    with tempfile.TemporaryDirectory() as folder:
        for i in range(rounds):
            name = "spacy-ctxemb.FeatureCache.v1"
            disk, half = (str(Path(folder, f"{kind}{i}")) for kind in ("disk", "half"))
            caches: dict[str, Any] = {
                "none": None,
                "memory": {"@misc": name, "path": None, "max_megabytes": 8000},
                "disk": {"@misc": name, "path": disk, "max_megabytes": 8000},
                "disk, float16": {"@misc": name, "path": half, "dtype": "float16"},
            }
            for kind, cache in caches.items():
                nlp = build_pipeline(encoder, cache)
                results.setdefault(kind, []).append(train(nlp, lines, epochs))
                used = nlp.get_pipe("ctxemb").cache
                megabytes[kind] = 0.0 if used is None else round(used.megabytes, 1)
            alone = build_pipeline(encoder, None)
            results.setdefault("classifier alone", []).append(train_alone(alone, lines, epochs))
    first = statistics.median(times[0] for times in results["none"])
    for kind, times in results.items():
        shares = [round(statistics.median(epoch) / first, 3) for epoch in zip(*times, strict=True)]
        row = {"cache": kind, "epochs": shares, "MB": megabytes.get(kind, 0.0)}
        print(json.dumps(row))
    print(json.dumps({"seconds of the first epoch": round(first, 1), "sentences": len(lines)}))


def read_lines(text: Path, n: int) -> list[str]:
    """The first lines of a text that are not blank."""
    with bz2.open(text, "rt") if text.suffix == ".bz2" else text.open(encoding="utf8") as lines:
        return [line.strip() for _, line in zip(range(n), filter(str.strip, lines), strict=False)]


def build_pipeline(encoder: dict[str, Any], cache: dict[str, Any] | None) -> Language:
    """A biLM with random weights, and a classifier that listens to it."""
    nlp = spacy.blank("en")
    model = {
        "encoder": {"@architectures": "spacy-ctxemb.BiLM.v1", **encoder},
        "pieces": {"@architectures": "spacy-ctxemb.CharacterPieces.v1"},
        "mix": {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "document"},
    }
    nlp.add_pipe("ctxemb", config={"model": model, "cache": cache})
    tok2vec = {"@architectures": "spacy.Tok2VecListener.v1", "width": encoder["width"]}
    classifier = {
        "@architectures": "spacy.TextCatReduce.v1",
        "exclusive_classes": True,
        "use_reduce_first": False,
        "use_reduce_last": False,
        "use_reduce_max": False,
        "use_reduce_mean": True,
        "tok2vec": tok2vec,
    }
    nlp.add_pipe("textcat", config={"model": classifier})
    fix_random_seed(0)
    nlp.initialize(lambda: read_examples(nlp, ["a", "b"]))
    return nlp


def read_examples(nlp: Language, lines: list[str]) -> list[Example]:
    """Every other line is of one class."""
    return [
        Example.from_dict(
            nlp.make_doc(line), {"cats": {"even": float(i % 2 == 0), "odd": float(i % 2)}}
        )
        for i, line in enumerate(lines)
    ]


def train(nlp: Language, lines: list[str], epochs: int) -> list[float]:
    """Train with the encoder frozen; the seconds of each epoch."""
    examples, optimizer = read_examples(nlp, lines), Adam(0.001)
    seconds = []
    for epoch in range(epochs):
        fix_random_seed(epoch)
        start = time.perf_counter()
        for batch in minibatch(examples, BATCH_SIZE):
            nlp.update(batch, sgd=optimizer, **FROZEN)
        seconds.append(time.perf_counter() - start)
    return seconds


def train_alone(nlp: Language, lines: list[str], epochs: int) -> list[float]:
    """The seconds of each epoch where vectors were made before."""
    examples, optimizer = read_examples(nlp, lines), Adam(0.001)
    for _ in nlp.get_pipe("ctxemb").pipe(eg.predicted for eg in examples):
        pass
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        for batch in minibatch(examples, BATCH_SIZE):
            nlp.get_pipe("textcat").update(batch, sgd=optimizer)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
