"""Words/s of the encoder alone, here and in other engines, on the same windows.

    pip install openvino "spacy-ctxemb[onnx]"
    python -m tests.benchmarks.engine_windows --text FILE_OR_FOLDER
        [--encoder minilm] [--words 8000] [--rounds 5] [--threads 1]

Would another engine inside the package be worth having? transformer_speed.py compares programs;
here all begin with the windows that the pipeline makes of its short and long texts, and run what
`export onnx` writes. Ours are computed in the pipeline's own batches, and turned into vectors of
tokens. The engines get batches of SIZES windows, sorted by length and padded; what is printed is
the best size. All take turns in one process; median and range of the rounds, after one that warms
up.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import typer
from spacy.language import Language

from spacy_ctxemb.stack.name_encoders import list_encoders
from spacy_ctxemb.thinc_model.embedder_shim import EmbedderShim
from spacy_ctxemb.windows.pieces_to_windows import Windows

from .text_similarity import load
from .transformer_peers import CONTESTANTS, pad, run_command
from .transformer_texts import count_words, read_sets

OURS = ("fp32", "bf16", "int8")

#: Precisions of each engine.
ENGINES = {"openvino": ("fp32", "bf16"), "onnxruntime": ("int8",)}

#: Windows in a batch of an engine.
SIZES = (4, 8, 16, 32)

#: What is measured, by its name and windows in a batch; None for the pipeline's batches.
Ways = dict[tuple[str, int | None], Callable[[], object]]


def main(
    text: Path = typer.Option(..., help="Documents, blank lines between", exists=True),
    encoder: str = typer.Option("minilm", help="Weights of the package, or a pipeline on disk"),
    words: int = typer.Option(8000, help="In each of the two sets"),
    rounds: int = typer.Option(5, help="Measurements of each way"),
    threads: int = typer.Option(1, help="Of each engine"),
) -> None:
    """Print a line for each set of texts and engine in each precision."""
    check_installed()
    torch.set_num_threads(threads)
    pipelines = {precision: load_in(encoder, precision) for precision in OURS}
    engines = load_engines(pipelines["fp32"], threads)
    for kind, texts in read_sets(text, words).items():
        windows = find_windows(pipelines["fp32"], texts)
        ours = {name: find_shim(nlp) for name, nlp in pipelines.items()}
        seconds = measure(list_ways(ours, engines, windows), rounds)
        for line in summarise(seconds, count_words(texts)):
            print(json.dumps({"texts": kind, **line}), flush=True)


def check_installed() -> None:
    missing = [name for name in (*ENGINES, "onnxscript") if find_spec(name) is None]
    if missing:
        raise SystemExit(
            f"Not installed: {', '.join(missing)}. pip install openvino 'spacy-ctxemb[onnx]'"
        )


def load_in(encoder: str, precision: str) -> Language:
    """A pipeline that has its weights and computes in a precision."""
    nlp = load(encoder)
    nlp("The otters slept.")
    find_shim(nlp).embedder.encoder.set_precision(precision)
    return nlp


def find_shim(nlp: Language) -> EmbedderShim:
    return next(shim for _, shim in list_encoders(nlp))


def load_engines(nlp: Language, threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        pipeline, folder = f"{name}/pipeline", f"{name}/onnx"
        nlp.to_disk(pipeline)
        run_command("export", "onnx", pipeline, folder)
        return {
            f"{engine} {precision}": CONTESTANTS[engine](folder, precision, threads)
            for engine, precisions in ENGINES.items()
            for precision in precisions
        }


def find_windows(nlp: Language, texts: Sequence[str]) -> list[Windows]:
    """What the pipeline gives to its embedder."""
    seen: list[Windows] = []
    embedder = find_shim(nlp).embedder
    hook = embedder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    try:
        for _ in nlp.pipe(texts):
            pass
    finally:
        hook.remove()
    return seen


def list_ways(
    ours: dict[str, EmbedderShim], engines: dict[str, Any], windows: Sequence[Windows]
) -> Ways:
    ways: Ways = {}
    for precision, shim in ours.items():
        ways[f"ctxemb {precision}", None] = lambda shim=shim: [shim.predict(w) for w in windows]
    for size in SIZES:
        batches = [batch for one in windows for batch in batch_windows(one, size)]
        for name, engine in engines.items():
            ways[name, size] = lambda run=engine.forward, some=batches: [run(*b) for b in some]
    return ways


def batch_windows(windows: Windows, size: int) -> list[tuple[Any, Any]]:
    """Ids and mask of batches of so many windows, longest first, as the pipeline has them."""
    rows = [
        ids[real]
        for batch in windows.batches
        for ids, real in zip(batch.ids.numpy(), batch.mask.numpy(), strict=True)
    ]
    return [pad(rows[start : start + size]) for start in range(0, len(rows), size)]


def measure(ways: Ways, rounds: int) -> dict[tuple[str, int | None], list[float]]:
    seconds: dict[tuple[str, int | None], list[float]] = {key: [] for key in ways}
    for i in range(rounds + 1):
        for key, run in ways.items():
            begin = time.perf_counter()
            run()
            if i:  # the first round warms up
                seconds[key].append(time.perf_counter() - begin)
    return seconds


def summarise(
    seconds: dict[tuple[str, int | None], list[float]], n_words: int
) -> list[dict[str, Any]]:
    """Of each way with its best size."""
    best: dict[str, dict[str, Any]] = {}
    for (name, size), some in seconds.items():
        speeds = [round(n_words / one) for one in some]
        median = round(statistics.median(speeds))
        if name not in best or median > best[name]["words/s"]:
            line = {"way": name, "windows a batch": size, "words/s": median}
            best[name] = {**line, "range": [min(speeds), max(speeds)]}
    return list(best.values())


if __name__ == "__main__":
    typer.run(main)
