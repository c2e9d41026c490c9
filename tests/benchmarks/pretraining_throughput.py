"""How fast the steps of `ctxemb pretrain` are, and how near to what the machine can multiply.

    python -m tests.benchmarks.pretraining_throughput [--rounds 3] [--steps 5] [--threads 1]
        [--device cuda] [--only bilm] [--output FILE]

Whole steps of the training loop, from reading a micro-batch to the change of the weights, on a
text of random words in the frequencies of Zipf's law: the biLM of configs/pretrain_elmo.cfg, and
masked language modelling with an encoder of BERT-base's size, each in fp32 and in bf16. For each:
words or pieces a second, the median of the rounds and their range; model FLOP a second, as
model_flop.py counts them; and their share of what matrix products of the model's own shapes reach
on the same device, in the same precision, between the rounds.
"""

import json
import statistics
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import typer
from spacy.util import load_config, registry

from spacy_ctxemb.encoders import BiLM, TransformerEncoder
from spacy_ctxemb.objectives import BiLMObjective, MaskedLMObjective
from spacy_ctxemb.objectives.masking import Masking
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pretraining.check_resume_fits import Basis
from spacy_ctxemb.pretraining.distributed import Processes
from spacy_ctxemb.pretraining.optimizers import build_adamw
from spacy_ctxemb.pretraining.pretrain_section import SECTION, PretrainSettings
from spacy_ctxemb.pretraining.save_and_resume import RunCheckpoints
from spacy_ctxemb.pretraining.tasks.base import Batch, Data, Task
from spacy_ctxemb.pretraining.tasks.masked_lm.task import MaskedLMTask, PretrainMaskedLM
from spacy_ctxemb.pretraining.text.raw_text import TextCorpus
from spacy_ctxemb.pretraining.text.token_store import TokenStore
from spacy_ctxemb.pretraining.training_loop import Trainer

from .model_flop import (
    Shape,
    count_bilm,
    count_candidates,
    count_masked_lm,
    list_bilm_shapes,
    list_transformer_shapes,
)
from .transformer_peers import Limit, take_time

CONFIG = Path(__file__).parents[2] / "configs" / "pretrain_elmo.cfg"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

BERT_BASE: dict[str, Any] = {
    "vocab_size": 30522,
    "width": 768,
    "n_blocks": 12,
    "n_heads": 12,
    "feedforward_width": 3072,
    "max_length": 512,
}
BERT_BATCH: dict[str, Any] = {"batch_size": 16, "max_pieces": 128}
#: The special pieces of BERT's vocabulary: padding, unknown, begin, end, mask.
SPECIAL, MASK, BOUNDARIES = range(5), 4, (2, 3)

#: Rows of a product on a GPU, which needs many; on a CPU those of `Limit`.
GPU_ROWS = 8192


class Contestant(NamedTuple):
    """A task with what its products are. count: FLOP of a step on a micro-batch."""

    name: str
    task: Task
    count: Callable[[Batch], float]
    shapes: list[Shape]


def main(
    rounds: int = typer.Option(3, help="Alternating with the limit", min=1),
    steps: int = typer.Option(5, help="Of training in a round", min=1),
    threads: int = typer.Option(1, help="Of the CPU", min=1),
    device: str = typer.Option("cpu", help="cpu or cuda"),
    only: str | None = typer.Option(None, help="bilm or bert"),
    output: Path | None = typer.Option(None, help="JSON file to write"),
) -> None:
    """Measure the steps of pretraining."""
    torch.set_num_threads(threads)
    builders: dict[str, Callable[[], Contestant]] = {"bilm": build_bilm, "bert": build_bert}
    rows = []
    for name, build in builders.items():
        if only not in (None, name):
            continue
        for precision in DTYPES:
            rows.append(measure(build(), precision, torch.device(device), rounds, steps))
            print(json.dumps(rows[-1], indent=2))
    if output is not None:
        result = {"device": describe(device), "threads": threads, "rows": rows}
        output.write_text(json.dumps(result, indent=2), encoding="utf8")


def measure(
    contestant: Contestant, precision: str, device: torch.device, rounds: int, steps: int
) -> dict[str, Any]:
    """Rounds of steps, and of plain products."""
    trainer = build_trainer(contestant.task, precision, device)
    trainer.module.train()
    trainer.take_step(0)  # warms up
    speeds, rates, limits = [], [], []
    for i in range(rounds):
        limits.append(measure_limit(contestant.shapes, DTYPES[precision], device))
        # What a step reads is counted on a stream of its own, outside the time.
        stream = contestant.task.open_stream(0, 1)
        stream.load_state(trainer.shards[0].stream.state())
        flop = sum(contestant.count(stream.next_batch(1 + i * steps + j)) for j in range(steps))
        synchronise(device)
        start = time.perf_counter()
        n_words = sum(trainer.take_step(1 + i * steps + j)[2] for j in range(steps))
        synchronise(device)
        seconds = time.perf_counter() - start
        speeds.append(n_words / seconds)
        rates.append(flop / seconds / 1e9)
    rate, limit = statistics.median(rates), statistics.median(limits)
    return {
        "model": contestant.name,
        "precision": precision,
        "words/s": round(statistics.median(speeds)),
        "range": [round(min(speeds)), round(max(speeds))],
        "GFLOP/word": round(rate / statistics.median(speeds), 5),
        "GFLOP/s": round(rate, 3),
        "limit GFLOP/s": round(limit, 3),
        "of limit": round(rate / limit, 3),
        "parameters": sum(p.numel() for p in trainer.module.parameters()),
    }


def build_trainer(task: Task, precision: str, device: torch.device) -> Trainer:
    """The loop that `ctxemb pretrain` runs, with AdamW."""
    nothing = TextCorpus(None)
    settings = PretrainSettings(
        train=nothing,
        held_out=nothing,
        objective=PretrainMaskedLM(),  # which is not called
        optimizer=build_adamw(),
        learn_rate=lambda step: 1e-4,
        max_steps=1_000_000,
        precision=precision,
    )
    processes = Processes(0, 1, device)
    checkpoints = RunCheckpoints(Path("unused"), processes, Basis({}, {}), n_shards=1, keep=2)
    return Trainer(task, settings, processes, checkpoints)


def build_bilm(n_words: int = 1_000_000, n_types: int = 100_000, **changes: Any) -> Contestant:
    """The biLM of the config with its objective. changes: of the encoder."""
    config = load_config(CONFIG, interpolate=False)
    model = config["components"]["ctxemb"]["model"]
    section = {"encoder": {**model["encoder"], **changes}}
    encoder = registry.resolve(section)["encoder"]
    assert isinstance(encoder, BiLM)
    objective_section = {"objective": config[SECTION]["objective"]}
    build = registry.resolve(objective_section)["objective"]
    assert encoder.n_characters is not None
    pieces = CharacterPieces(encoder.n_characters)
    store = draw_words(pieces, n_words, n_types)
    task = build(encoder, pieces, Data(store, store, seed=0))
    reset(encoder, task.objective)
    objective = task.objective
    assert isinstance(objective, BiLMObjective)
    softmax = (encoder.width // 2, round(count_candidates(objective)))
    return Contestant(
        "biLM",
        task,
        lambda batch: count_bilm(encoder, objective, batch),
        [*list_bilm_shapes(encoder), softmax, softmax],
    )


def build_bert(n_pieces: int = 200_000, **changes: Any) -> Contestant:
    """BERT-base's size with its objective. changes: of the encoder and of the micro-batch."""
    sizes = {name: changes.get(name, value) for name, value in BERT_BASE.items()}
    encoder = TransformerEncoder(**sizes)
    V = encoder.n_ids
    objective = MaskedLMObjective(encoder, Masking(MASK, SPECIAL, V, share=0.15))
    store = draw_pieces(n_pieces, V)
    begin, end = (np.array(piece, dtype=np.int32) for piece in BOUNDARIES)
    task = MaskedLMTask(
        encoder,
        objective,
        PretrainMaskedLM(**{name: changes.get(name, value) for name, value in BERT_BATCH.items()}),
        (begin, end),
        Data(store, store, seed=0),
    )
    reset(encoder, objective)
    shapes = list_transformer_shapes(encoder)
    return Contestant("BERT", task, lambda batch: count_masked_lm(encoder, V, batch), shapes)


def reset(*modules: Any) -> None:
    """Random parameters, on the CPU."""
    torch.manual_seed(0)
    for module in modules:
        module.to_empty(device="cpu")
        module.reset_parameters()


def draw_words(pieces: CharacterPieces, n_words: int, n_types: int) -> TokenStore:
    """Random words of 1 to 12 letters, the most frequent ones shortest, by Zipf's law."""
    rng = np.random.default_rng(0)
    letters = np.array(list(string.ascii_lowercase))
    lengths = np.sort(rng.integers(1, 13, size=n_types))
    types = ["".join(rng.choice(letters, n)) + str(i) for i, n in enumerate(lengths)]
    shares = 1 / np.arange(1, n_types + 1)
    counts = np.sort(rng.multinomial(n_words, shares / shares.sum()))[::-1]
    ids = rng.permutation(np.repeat(np.arange(n_types), counts))
    characters = pieces.encode_words(types).astype(np.int16)
    return lay_sentences(ids, rng, types=types, type_counts=counts, type_characters=characters)


def draw_pieces(n_pieces: int, n_ids: int) -> TokenStore:
    """Random pieces, all of them ordinary ones."""
    rng = np.random.default_rng(0)
    ids = rng.integers(len(SPECIAL), n_ids, size=n_pieces)
    none, no_rows = np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.int16)
    return lay_sentences(ids, rng, types=[], type_counts=none, type_characters=no_rows)


def lay_sentences(ids: Any, rng: np.random.Generator, **types: Any) -> TokenStore:
    """Sentences of 5 to 40 pieces, in documents of 20."""
    ends = np.cumsum(rng.integers(5, 41, size=len(ids) // 5))
    ends = np.append(ends[ends < len(ids)], len(ids))
    return TokenStore(
        folder=Path("unused"),
        ids=ids.astype(np.int32),
        word_starts=np.ones(len(ids), dtype=np.bool_),
        sentence_ends=ends,
        document_ends=np.unique(np.append(np.arange(20, len(ends), 20), len(ends))),
        **types,
    )


def measure_limit(shapes: list[Shape], dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of the products, by the fastest routine for each."""
    if device.type == "cpu":
        return Limit("", shapes).measure_type(dtype)
    seconds = flop = 0.0
    for n_in, n_out in shapes:
        x = torch.randn(GPU_ROWS, n_in, device=device, dtype=dtype)
        weight = torch.randn(n_in, n_out, device=device, dtype=dtype)
        torch.mm(x, weight)

        def multiply(x: torch.Tensor = x, weight: torch.Tensor = weight) -> None:
            for _ in range(10):
                torch.mm(x, weight)
            synchronise(device)

        synchronise(device)
        seconds += min(take_time(multiply) for _ in range(8)) / 10
        flop += 2 * GPU_ROWS * n_in * n_out
    return flop / seconds / 1e9


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: str) -> str:
    return (
        torch.cuda.get_device_name()
        if device == "cuda"
        else torch.backends.cpu.get_cpu_capability()
    )


if __name__ == "__main__":
    typer.run(main)
