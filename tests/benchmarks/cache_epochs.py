"""How long an epoch on frozen vectors takes, with and without a cache, and with HashEmbedCNN.

    python -m tests.benchmarks.cache_epochs --data FOLDER [--dataset ag_news]
        [--encoders english,minilm] [--documents 2000] [--epochs 3] [--rounds 3] [--batch 400]
        [--threads 1] [--output FILE]

The configs are those of `init-config --freeze`, the updates those of `spacy train` without its
evaluations.
Each contestant trains from the beginning in each round, and they take turns. For each: seconds of
the first epoch and, the median of, later ones; the latter as a multiple of HashEmbedCNN's (the aim
with a cache: 1.5 at most), and how many times faster than without a cache they are (the aim for
MiniLM: 10 at least); the size of the cache. All are medians of the rounds.
"""

import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer
from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.training.batchers import minibatch_by_words
from spacy.training.initialize import init_nlp
from spacy.util import load_config, load_config_from_str
from thinc.api import Adam, fix_random_seed

from spacy_ctxemb.cache.feature_cache import FeatureCache
from spacy_ctxemb.config_writer.check_options import Choices
from spacy_ctxemb.config_writer.render import build_config

from .accuracy import pick, prepare_data, say
from .accuracy_data import DATA_SETS, DataSet

FROZEN: dict[str, Any] = {"exclude": ["ctxemb"], "annotates": ["ctxemb"]}
MEGABYTES = 20_000
HASHEMBEDCNN = "hashembedcnn"


class Contestant(NamedTuple):
    """encoder: "hashembedcnn", or as of `init-config`. cache: "none", "memory" or "disk"."""

    encoder: str
    cache: str = "none"


def main(
    data: Path = typer.Option(Path("assets"), help="Folder of ner/NAME and textcat/NAME"),
    dataset: str = typer.Option("ag_news", help="Data set"),
    encoders: str = typer.Option("english,minilm", help="Names or pipelines for init-config"),
    documents: int = typer.Option(2000, help="Training examples"),
    epochs: int = typer.Option(3, min=2, help="Epochs"),
    rounds: int = typer.Option(3, help="Rounds"),
    batch: int = typer.Option(400, help="Words in a step"),
    threads: int = typer.Option(1, help="Threads of PyTorch"),
    output: Path = typer.Option(Path("metrics/cache_epochs.json"), help="File for results"),
) -> None:
    """Print a table."""
    torch.set_num_threads(threads)
    (data_set,) = prepare_data(pick(DATA_SETS, dataset, "dataset"), data)
    caches = ("memory", "disk", "none")
    contestants = [
        Contestant(HASHEMBEDCNN),
        *(Contestant(name, cache) for name in encoders.split(",") for cache in caches),
    ]
    seconds: dict[Contestant, list[list[float]]] = {c: [] for c in contestants}
    megabytes: dict[Contestant, float] = {}
    for i in range(rounds):
        for contestant in contestants:
            with tempfile.TemporaryDirectory() as folder:
                nlp = build(contestant, data_set, Path(folder))
                examples = read(nlp, data_set, documents)
                times = [train_epoch(nlp, examples, epoch, batch) for epoch in range(epochs)]
                megabytes[contestant] = measure_cache(nlp)
            seconds[contestant].append(times)
            say(f"round {i + 1}: {' '.join(contestant)}: {[round(t, 2) for t in times]} s")
    rows = list(summarise(seconds, megabytes))
    about = {"data_set": dataset, "documents": documents, "batch": batch, "threads": threads}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n", encoding="utf8")
    print(render(rows))


def build(contestant: Contestant, data_set: DataSet, folder: Path) -> Language:
    """A pipeline as `spacy train` begins with it. folder: for a cache."""
    corpus = str(data_set.corpus / "train.spacy")
    settings: dict[str, Any] = {"paths.train": corpus, "paths.dev": corpus}
    settings["nlp.lang"] = data_set.lang
    if contestant.encoder == HASHEMBEDCNN:
        settings["nlp.pipeline"] = [data_set.task]
        config = load_config(Path("configs", "hashembedcnn.cfg"))
    else:
        choices = Choices(
            [data_set.task], encoder=contestant.encoder, freeze=True, cache=False, head=False
        )
        config = build_config(choices).config
    nlp = init_nlp(load_config_from_str(config.to_str(), overrides=settings))
    if contestant.cache != "none":
        path = str(folder / "cache") if contestant.cache == "disk" else None
        nlp.get_pipe("ctxemb").cache = FeatureCache(path, dtype="float32", max_megabytes=MEGABYTES)  # type: ignore[attr-defined] # a ContextualEmbedder
    return nlp


def read(nlp: Language, data_set: DataSet, documents: int) -> list[Example]:
    corpus = Corpus(data_set.corpus / "train.spacy", limit=documents, max_length=500)
    return list(corpus(nlp))


def train_epoch(nlp: Language, examples: list[Example], epoch: int, batch: int) -> float:
    """Seconds. An optimizer for each epoch is enough for that."""
    fix_random_seed(epoch)
    random.shuffle(examples)
    optimizer = Adam(0.001)
    frozen = FROZEN if "ctxemb" in nlp.pipe_names else {}
    start = time.perf_counter()
    for examples_of_step in minibatch_by_words(examples, batch):
        nlp.update(examples_of_step, sgd=optimizer, drop=0.1, **frozen)
    return time.perf_counter() - start


def measure_cache(nlp: Language) -> float:
    cache = nlp.get_pipe("ctxemb").cache if "ctxemb" in nlp.pipe_names else None  # type: ignore[attr-defined] # a ContextualEmbedder
    return 0.0 if cache is None else float(round(cache.megabytes, 1))


def summarise(
    seconds: dict[Contestant, list[list[float]]], megabytes: dict[Contestant, float]
) -> list[dict[str, Any]]:
    """Medians over rounds, and what they are as multiples."""
    median = statistics.median
    first = {c: median(times[0] for times in rounds) for c, rounds in seconds.items()}
    later = {c: median(median(times[1:]) for times in rounds) for c, rounds in seconds.items()}
    return [
        {
            "encoder": c.encoder,
            "cache": c.cache,
            "first_epoch": round(first[c], 4),
            "later_epochs": round(later[c], 4),
            "of_hashembedcnn": round(later[c] / later[Contestant(HASHEMBEDCNN)], 2),
            "times_faster": round(later[Contestant(c.encoder)] / later[c], 1),
            "megabytes": megabytes[c],
        }
        for c in seconds
    ]


def render(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(rows[0])} |", "|" + "---|" * len(rows[0])]
    lines += [f"| {' | '.join(str(value) for value in row.values())} |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
