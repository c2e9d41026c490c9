"""One training of a comparison, by spaCy's own functions."""

import io
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
import spacy.training.loop
import srsly
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import Config

from ..report.inputs import read_mixes
from .runs import Run

#: What a component of spaCy learns from, in a Doc of the training corpus.
LABELS = {
    "ner": lambda doc: doc.has_annotation("ENT_IOB"),
    "textcat": lambda doc: bool(doc.cats),
    "textcat_multilabel": lambda doc: bool(doc.cats),
    "tagger": lambda doc: doc.has_annotation("TAG"),
    "parser": lambda doc: doc.has_annotation("DEP"),
    "morphologizer": lambda doc: doc.has_annotation("MORPH"),
    "spancat": lambda doc: bool(doc.spans),
}


def train(run: Run, gpu_id: int = -1) -> dict[str, Any]:
    """Train a pipeline as `spacy train` does, and score its best state on the test set."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        docs = read_docs(run.corpus_path / "train.spacy")
        sample = choose_examples(docs, run.n_labelled, run.seed)
        DocBin(docs=sample, store_user_data=True).to_disk(folder / "train.spacy")
        nlp = init_nlp(build_config(run, sample, folder), use_gpu=gpu_id)
        spacy.training.loop.train(
            nlp, folder / "out", use_gpu=gpu_id, stdout=io.StringIO(), stderr=io.StringIO()
        )
        best = folder / "out" / "model-best"
        nlp.from_disk(best)
        mixes = [vars(mix) for mix in read_mixes(run.config, best)]
        log = list(srsly.read_jsonl(folder / "log.jsonl"))
    scores = score(nlp, run.corpus_path / "test.spacy")
    weights = {k: w for k, w in nlp.config["training"]["score_weights"].items() if w}
    return {
        "config": run.config,
        "corpus": run.corpus,
        "n_labelled": run.n_labelled,
        "n_examples": len(sample),
        "seed": run.seed,
        "metric": "+".join(weights),
        "score": sum(weight * (scores[key] or 0.0) for key, weight in weights.items()),
        "scores": scores,
        "log": [{key: row[key] for key in ("step", "score", "losses")} for row in log],
        "mixes": mixes,
        "cpu_seconds": round(time.process_time() - start, 2),
    }


def read_docs(path: Path) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab))


def choose_examples(docs: Sequence[Doc], n_labelled: int, seed: int) -> list[Doc]:
    """So many of them; each seed chooses others, but the same for every config."""
    if not n_labelled:
        return list(docs)
    return random.Random(seed).sample(docs, min(n_labelled, len(docs)))


def build_config(run: Run, docs: Sequence[Doc], folder: Path) -> Config:
    """The config with the paths and the seed of a run, without heads that the Docs do not train."""
    config = load_config(run.config_path, interpolate=False)
    overrides = {
        key: value for key, value in run.overrides.items() if not is_foreign_path(key, config)
    }
    config = load_config(run.config_path, overrides=overrides, interpolate=False)
    config["paths"]["train"] = str(folder / "train.spacy")
    config["paths"]["dev"] = str(run.corpus_path / "dev.spacy")
    config["system"]["seed"] = run.seed
    logger = {"@loggers": "spacy.ConsoleLogger.v3", "output_file": str(folder / "log.jsonl")}
    config["training"]["logger"] = {**logger, "console_output": False}
    config["nlp"]["pipeline"] = [
        name for name in config["nlp"]["pipeline"] if has_labels(config["components"][name], docs)
    ]
    return config


def is_foreign_path(key: str, config: Config) -> bool:
    """Whether this is a path of other configs of the comparison."""
    section, _, name = key.partition(".")
    return section == "paths" and name not in config["paths"]


def has_labels(component: dict[str, Any], docs: Sequence[Doc]) -> bool:
    """Whether a component learns from these Docs. One that has no labels of its own does."""
    finds = LABELS.get(component.get("factory", ""))
    return finds is None or any(map(finds, docs))


def score(nlp: Language, path: Path) -> dict[str, Any]:
    """The scores of a pipeline, of labels too, without its speed."""
    scores = nlp.evaluate(list(Corpus(path)(nlp)))
    del scores["speed"]
    return scores
