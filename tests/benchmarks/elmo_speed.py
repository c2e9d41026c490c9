"""How fast a biLM of the original ELMo's size is, and what bf16 changes.

    python tests/benchmarks/elmo_speed.py [--text FILE] [--sentences 240] [--rounds 3]

On English text and random weights, on one thread and on two: tokens a second of the component
`ctxemb` against a straightforward loop (elmo_baseline.py), alternating; the share of the limit
that matrix products set on this machine, measured between the rounds; where the time goes; and
the largest memory of a process that loads such a pipeline and runs it.
"""

import bz2
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
import typer
from spacy.tokens import Doc
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from spacy_ctxemb.encoders import BiLM
from spacy_ctxemb.encoders.kernels.linear import pack
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

sys.path.insert(0, str(Path(__file__).parent))
from elmo_baseline import run_baseline  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SPACY_CTXEMB_SHARED", ROOT.parent / "shared"))

#: The original model: 93.6 million parameters.
ORIGINAL = {
    "width": 1024,
    "hidden_width": 4096,
    "n_lstm_layers": 2,
    "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
    "n_highways": 2,
}

#: Floating-point operations of a step of both directions and layers; of the highways and the
#: projection of a distinct word. Convolutions, 18 million at most, are not counted.
STEP_FLOP = 2 * 2 * (2 * 2 * 512 * 16384 + 2 * 4096 * 512)
WORD_FLOP = 2 * 2 * 2 * 2048 * 2048 + 2 * 2048 * 512


def main(
    text: Path | None = typer.Option(None, help="Text, one sentence a line; plain or bz2"),
    sentences: int = typer.Option(240, help="Sentences of the text to use"),
    rounds: int = typer.Option(3, help="Alternating rounds"),
    output: Path | None = typer.Option(None, help="JSON file to write"),
) -> None:
    """Measure on one thread and on two, each in a process of its own."""
    text = text or SHARED / "data" / "lm" / "valid_docs.txt.bz2"
    if not text.exists():
        raise SystemExit(f"There is no text at {text}. Pass one with --text.")
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Path(folder) / "original"
        build_pipeline().to_disk(pipeline)
        results = []
        for threads in (1, 2):
            arguments = [str(text), str(sentences), str(rounds), str(pipeline)]
            measured = run_self("speed", threads, *arguments)
            measured["memory MB"] = {
                precision: run_self("memory", threads, *arguments, precision)["MB"]
                for precision in ("fp32", "bf16")
            }
            results.append({"threads": threads, **measured})
            print(json.dumps(results[-1], indent=2))
    if output is not None:
        output.write_text(json.dumps(results, indent=2), encoding="utf8")


def run_self(task: str, threads: int, *arguments: str) -> dict[str, Any]:
    """Run a task of this file in a process with that many threads."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "BENCHMARK_TASK": task}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def build_pipeline() -> spacy.Language:
    """A pipeline with random weights, such as `import elmo` writes."""
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy-ctxemb.BiLM.v1", **ORIGINAL}
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None}
    pieces = {"@architectures": "spacy-ctxemb.CharacterPieces.v1"}
    model = {"encoder": encoder, "pieces": pieces, "mix": mix, "split_sentences": True}
    nlp.add_pipe("ctxemb", config={"model": model, "pretrained": None})
    torch.manual_seed(0)
    nlp.initialize()
    return nlp


def read_docs(nlp: spacy.Language, text: Path, n: int) -> list[Doc]:
    """The first sentences of a text, a Doc each."""
    with bz2.open(text, "rt") if text.suffix == ".bz2" else text.open(encoding="utf8") as lines:
        kept = [line.split() for line in lines if line.strip()]
    return [Doc(nlp.vocab, words) for words in kept[:n]]


def measure_memory(text: Path, n: int, pipeline: Path, precision: str) -> dict[str, Any]:
    """The largest memory of this process, once it has loaded a pipeline and run it."""
    nlp = load(pipeline, precision)
    list(nlp.pipe(read_docs(nlp, text, n)))
    return {"MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def load(pipeline: Path, precision: str) -> spacy.Language:
    return spacy.load(
        pipeline, config={"components": {"ctxemb": {"model": {"precision": precision}}}}
    )


def measure_speed(text: Path, n: int, rounds: int, pipeline: Path) -> dict[str, Any]:
    """Tokens a second, shares of the limit, and deviations."""
    nlp = load(pipeline, "fp32")
    component = nlp.get_pipe("ctxemb")
    shim = get_shim(component.model)
    encoder = shim.embedder.encoder
    assert isinstance(encoder, BiLM)
    docs = read_docs(nlp, text, n)
    n_tokens = sum(map(len, docs))
    ids = [torch.from_numpy(shim.pieces.encode_sequence([t.text for t in doc])) for doc in docs]
    n_words = len({token.text for doc in docs for token in doc}) + 2

    def run(precision: str, *, keep_words: bool) -> Callable[[], list[Any]]:
        def call() -> list[Any]:
            if not keep_words:
                encoder._words.drop()
            return [outputs.vectors for outputs in component.predict(docs)]

        def prepare() -> None:
            encoder.set_precision(precision)
            component.predict(docs)  # products are prepared at the first use

        call.prepare = prepare  # type: ignore[attr-defined]
        return call

    ways: dict[str, Callable[[], Any]] = {
        "fp32": run("fp32", keep_words=False),
        "fp32, words known": run("fp32", keep_words=True),
        "bf16": run("bf16", keep_words=False),
        "bf16, words known": run("bf16", keep_words=True),
        "baseline": lambda: run_baseline(encoder, ids),
    }
    limits = {"BLAS fp32": measure_blas, "oneDNN fp32": measure_onednn, "oneDNN bf16": measure_bf16}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    gflops: dict[str, list[float]] = {name: [] for name in limits}
    for _ in range(rounds):
        for name, way in ways.items():
            getattr(way, "prepare", lambda: None)()
            seconds[name].append(take_time(way))
        for name, limit in limits.items():
            gflops[name].append(limit())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    limit = {name: statistics.median(values) for name, values in gflops.items()}
    flop = (n_tokens + 2 * len(docs)) * STEP_FLOP + n_words * WORD_FLOP
    rate = flop / medians["fp32"] / 1e9
    return {
        "tokens": n_tokens,
        "distinct words": n_words,
        "tokens a second": {name: round(n_tokens / value) for name, value in medians.items()},
        "times the baseline": {
            name: round(medians["baseline"] / value, 2) for name, value in medians.items()
        },
        "limit, GFLOP/s": {name: round(value) for name, value in limit.items()},
        "fp32, GFLOP/s": round(rate),
        "fp32, share of the limit": {
            name: round(rate / limit[name], 2) for name in ("BLAS fp32", "oneDNN fp32")
        },
        **compare(encoder, ids, ways),
        "where the time goes, %": {
            precision: find_time(ways[precision]) for precision in ("fp32", "bf16")
        },
    }


def compare(encoder: BiLM, ids: Sequence[torch.Tensor], ways: dict[str, Any]) -> dict[str, Any]:
    """How far vectors are from the baseline's and from those of fp32."""
    expected = torch.cat([layers.mean(dim=0)[1:-1] for layers in run_baseline(encoder, ids)])
    found = {}
    for precision in ("fp32", "bf16"):
        ways[precision].prepare()
        found[precision] = torch.from_numpy(np.concatenate(ways[precision]()))
    cosines = F.cosine_similarity(found["fp32"], found["bf16"])
    difference = (found["fp32"] - found["bf16"]).abs()
    return {
        "largest difference of fp32 from the baseline": float(
            (found["fp32"] - expected).abs().max()
        ),
        "bf16 from fp32": {
            "largest difference": float(difference.max()),
            "mean difference": float(difference.mean()),
            "mean size of a value": float(found["fp32"].abs().mean()),
            "least cosine of a token": float(cosines.min()),
        },
    }


def find_time(way: Callable[[], Any]) -> dict[str, float]:
    """The operators that take most, in percent."""
    way.prepare()  # type: ignore[attr-defined]
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        way()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {event.key: round(100 * event.self_cpu_time_total / total, 1) for event in events[:8]}


def take_time(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_products(multiply: Callable[[torch.Tensor], Any]) -> float:
    """GFLOP/s of the recurrent product of 256 sentences, the best of several."""
    x = torch.randn(256, 512)
    multiply(x)
    best = min(take_time(lambda: multiply(x)) for _ in range(10))
    return 2 * 256 * 512 * 16384 / best / 1e9


def measure_blas() -> float:
    weight = torch.randn(16384, 512)
    with torch.inference_mode():
        return measure_products(lambda x: F.linear(x, weight))


def measure_onednn() -> float:
    product = pack(torch.randn(16384, 512), torch.float32)
    return measure_products(lambda x: product(x, None))


def measure_bf16() -> float:
    product = pack(torch.randn(16384, 512), torch.bfloat16)
    return measure_products(lambda x: product(x, None))


if __name__ == "__main__":
    task = os.environ.get("BENCHMARK_TASK")
    if task is None:
        typer.run(main)
    else:
        text, n, rounds, pipeline, *rest = sys.argv[1:]
        if task == "memory":
            result = measure_memory(Path(text), int(n), Path(pipeline), rest[0])
        else:
            result = measure_speed(Path(text), int(n), int(rounds), Path(pipeline))
        print(json.dumps(result))
