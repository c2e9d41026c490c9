"""One training of a comparison, by spaCy's own functions."""

import hashlib
import io
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import spacy
import spacy.training.loop
import srsly
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import Config

from ..read_files import compute_checksum
from ..report.read_metrics import read_mixes

PARTS = ("train", "dev", "test")

#: What components learn from, in a Doc, by their factories.
LABELS: dict[str, Callable[[Doc], bool]] = {
    "ner": lambda doc: doc.has_annotation("ENT_IOB"),
    "textcat": lambda doc: bool(doc.cats),
    "textcat_multilabel": lambda doc: bool(doc.cats),
    "ctxemb_ner": lambda doc: doc.has_annotation("ENT_IOB"),
    "ctxemb_textcat": lambda doc: bool(doc.cats),
    "tagger": lambda doc: doc.has_annotation("TAG"),
    "parser": lambda doc: doc.has_annotation("DEP"),
    "morphologizer": lambda doc: doc.has_annotation("MORPH"),
    "spancat": lambda doc: bool(doc.spans),
}


@dataclass(frozen=True)
class Run:
    """One training of a config on a corpus, or several one after the other.

    config_paths: each of the later ones has paths.pipeline, for what the one before has trained.
    corpus_path: a folder with train.spacy, dev.spacy and test.spacy. n_labelled: how many
    training examples the seed chooses; 0 for all. overrides: settings of the config.
    """

    config: str
    config_paths: Sequence[Path]
    corpus: str
    corpus_path: Path
    n_labelled: int
    seed: int
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.corpus}-{self.n_labelled or 'all'}-{self.config}-{self.seed}"

    @property
    def fingerprint(self) -> str:
        """Changes when the config, an override or the corpus changes."""
        files = [*self.config_paths, *(self.corpus_path / f"{part}.spacy" for part in PARTS)]
        content = [*map(compute_checksum, files), sorted(self.overrides.items())]
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def train(run: Run, gpu_id: int = -1) -> dict[str, Any]:
    """Train as `spacy train` does; score the best state of the last config on the test set."""
    start = time.process_time()
    path = run.corpus_path / "train.spacy"
    docs = choose_examples(read_docs(path, compute_checksum(path)), run.n_labelled, run.seed)
    log: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        DocBin(docs=docs).to_disk(folder / "train.spacy")
        for i, config_path in enumerate(run.config_paths):
            output = folder / f"training{i}"
            output.mkdir()
            config = build_config(config_path, run, docs, folder)
            config["training"]["logger"]["output_file"] = str(folder / f"log{i}.jsonl")
            if i:
                config["paths"]["pipeline"] = str(folder / f"training{i - 1}" / "model-best")
            nlp = init_nlp(config, use_gpu=gpu_id)
            spacy.training.loop.train(
                nlp, output, use_gpu=gpu_id, stdout=io.StringIO(), stderr=io.StringIO()
            )
            log = join_logs(log, srsly.read_jsonl(folder / f"log{i}.jsonl"))
        nlp.from_disk(output / "model-best")
        mixes = [vars(mix) for mix in read_mixes(run.config, output / "model-best")]
    scores = nlp.evaluate(list(Corpus(run.corpus_path / "test.spacy")(nlp)))
    del scores["speed"]
    weights = nlp.config["training"]["score_weights"].items()
    weights = {key: weight for key, weight in weights if weight and scores.get(key) is not None}
    return {
        "config": run.config,
        "corpus": run.corpus,
        "n_labelled": run.n_labelled,
        "n_examples": len(docs),
        "seed": run.seed,
        "metric": "+".join(weights),
        "score": sum(w * scores[key] for key, w in weights.items()) / (sum(weights.values()) or 1),
        "scores": scores,
        "log": log,
        "mixes": mixes,
        "cpu_seconds": round(time.process_time() - start, 2),
    }


@lru_cache(maxsize=1)
def read_docs(path: Path, checksum: str) -> list[Doc]:
    """The Docs of a file, which the next run of this process mostly wants as well."""
    return list(DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab))


def choose_examples(docs: Sequence[Doc], n_labelled: int, seed: int) -> list[Doc]:
    """So many of the Docs, 0 for all. Each seed chooses others, the same ones for every config."""
    n_chosen = min(n_labelled or len(docs), len(docs))
    return random.Random(seed).sample(docs, n_chosen)


def build_config(path: Path, run: Run, docs: Sequence[Doc], folder: Path) -> Config:
    """A config with the paths and the seed of a run, without heads that the Docs have no labels
    for. An override of a path that the config does not have is for other configs."""
    paths = load_config(path)["paths"]
    overrides = {
        key: value
        for key, value in run.overrides.items()
        if not key.startswith("paths.") or key.removeprefix("paths.") in paths
    }
    config = load_config(path, overrides=overrides)
    config["paths"]["train"] = str(folder / "train.spacy")
    config["paths"]["dev"] = str(run.corpus_path / "dev.spacy")
    config["system"]["seed"] = run.seed
    config["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v3", "console_output": False}
    components = config["components"]
    for name in list(config["nlp"]["pipeline"]):
        has_labels = LABELS.get(components[name].get("factory", name))
        if has_labels and not any(map(has_labels, docs)):
            config["nlp"]["pipeline"].remove(name)
    config["components"] = {name: components[name] for name in config["nlp"]["pipeline"]}
    return config


def join_logs(before: list[dict[str, Any]], rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log of several trainings: the steps of a later one count on."""
    n_steps = before[-1]["step"] if before else 0
    return [*before, *({"step": n_steps + row["step"], "score": row["score"]} for row in rows)]
