"""What frozen vectors know of word senses: Senseval-2 style words, and WiC.

    python -m tests.benchmarks.word_senses MODEL DATA [--static en_core_web_md] [--sentences]
        [--limit N] [--output FILE]

MODEL is a pipeline with `ctxemb`, or the folder of a run of `ctxemb pretrain`. DATA is a folder
with `senseval2` and `wic`, either of which may be missing: {train,dev,test}.jsonl.gz, a row an
object of {"tokens", "index", "lemma", "sense"}, or of {"lemma", "tokens1", "index1", "tokens2",
"index2", "label"}. Nothing is trained but what the rows of `train` say.

Representations of a word, all frozen: each layer in context, their mix (doc.tensor), and for
comparison "word", its context-free vector, "bag", the mean of the context-free vectors of the other
words, and the same two from the static vectors of another pipeline.

senseval2: for each lemma the sense with the nearest mean vector (Peters et al. 2018, section 5.3),
and the most frequent one among the k nearest examples, k chosen on dev; against the most frequent
sense. wic (Pilehvar and Camacho-Collados 2019): whether two vectors of a word have a cosine above
a threshold, which is chosen on train, as is the best layer.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spacy
import typer
from spacy.language import Language
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc
from tqdm import tqdm

from .pretrained_runs import Run
from .sense_scores import (
    Bools,
    Floats,
    Items,
    cosine,
    find_threshold,
    is_most_frequent,
    is_nearest_centroid,
    is_nearest_neighbour,
)

SPLITS = ("train", "dev", "test")

#: How the Penn Treebank writes quotes, which plain text does not have.
QUOTES = {"``": '"', "''": '"', "-LRB-": "(", "-RRB-": ")"}

Row = dict[str, Any]

#: Vectors by representation, (n, D) each.
Vectors = dict[str, Floats]


class Occurrence(NamedTuple):
    """A word in its context."""

    tokens: list[str]
    index: int


def main(
    model: Path = typer.Argument(..., help="A pipeline or a run", exists=True),
    data: Path = typer.Argument(..., help="Folder with senseval2 and wic", exists=True),
    component: str = typer.Option("ctxemb", help="Name in the pipeline"),
    static: str | None = typer.Option(None, help="A pipeline with static vectors"),
    sentences: bool = typer.Option(False, help="Read sentences one by one, split by rule"),
    limit: int | None = typer.Option(None, help="Rows of each file, at most"),
    output: Path | None = typer.Option(None, help="JSON file to write"),
) -> None:
    """Word senses from frozen vectors."""
    encode = Encode(load(model, component), static, splits=sentences)
    result: dict[str, Any] = {"model": str(model)}
    if (data / "senseval2").exists():
        rows = {split: read_rows(data / "senseval2", split, limit) for split in SPLITS}
        result["senseval2"] = score_senses(encode, rows)
    if (data / "wic").exists():
        rows = {split: read_rows(data / "wic", split, limit) for split in SPLITS}
        result["wic"] = score_pairs(encode, rows)
    print(json.dumps(result, indent=2))
    if output is not None:
        output.write_text(json.dumps(result, indent=2), encoding="utf8")


def load(model: Path, component: str) -> Language:
    """A pipeline that keeps all layers."""
    if (model / "log.jsonl").exists():
        run = Run(model)
        nlp = run.load_nlp()
        found: Any = nlp.get_pipe(run.component)
        found.keep = "layers"
        return nlp
    return spacy.load(model, config={"components": {component: {"keep": "layers"}}})


def read_rows(folder: Path, split: str, limit: int | None) -> list[Row]:
    """Spread over the whole file, in which rows of one word stand together."""
    with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf8") as lines:
        rows = [json.loads(line) for line in lines]
    step = 1 if limit is None else max(-(-len(rows) // limit), 1)
    return rows[::step]


class Encode:
    """The vectors of words in context.

    static: name of a pipeline with static vectors. splits: whether sentences are split by rule.
    """

    def __init__(self, nlp: Language, static: str | None, *, splits: bool) -> None:
        self.nlp = nlp
        self.static = None if static is None else spacy.load(static).vocab
        self.sentencizer = Sentencizer() if splits else None

    def __call__(self, occurrences: Sequence[Occurrence], title: str = "") -> Vectors:
        rows: dict[str, list[Floats]] = {}
        docs = (self._make_doc(occurrence) for occurrence in occurrences)
        found = tqdm(self.nlp.pipe(docs), total=len(occurrences), desc=title, disable=None)
        for doc, (_, index) in zip(found, occurrences, strict=True):
            for name, vector in self._represent(doc, index):
                rows.setdefault(name, []).append(vector)
        return {name: np.stack(vectors) for name, vectors in rows.items()}

    def _make_doc(self, occurrence: Occurrence) -> Doc:
        words = [QUOTES.get(word, word) for word in occurrence.tokens]
        doc = Doc(self.nlp.vocab, words=words)
        return doc if self.sentencizer is None else self.sentencizer(doc)

    def _represent(self, doc: Doc, index: int) -> Iterator[tuple[str, Floats]]:
        layers = doc._.ctxemb  # (L, n_tokens, D)
        yield from represent_without_context("layer 0", layers[0], index)
        for i, layer in enumerate(layers[1:], start=1):
            yield f"layer {i}", layer[index].copy()
        yield "mix", doc.tensor[index].copy()
        if self.static is not None:
            static = np.stack([self.static.get_vector(token.text) for token in doc])
            yield from represent_without_context("static", static, index)


def represent_without_context(
    name: str, vectors: Floats, index: int
) -> Iterator[tuple[str, Floats]]:
    """A word's own vector, and the mean of all others of its text. vectors: (n_tokens, D)."""
    yield f"{name} word", vectors[index].copy()
    others = np.delete(vectors, index, axis=0)
    yield f"{name} bag", others.mean(axis=0) if len(others) else np.zeros_like(vectors[index])


def score_senses(encode: Encode, rows: dict[str, list[Row]]) -> Row:
    """Accuracies on the words of Senseval-2."""
    items = {
        split: Items([row["lemma"] for row in found], [row["sense"] for row in found])
        for split, found in rows.items()
    }
    vectors = {
        split: encode([Occurrence(row["tokens"], row["index"]) for row in found], split)
        for split, found in rows.items()
    }
    train, dev, test = (items[split] for split in SPLITS)
    result: Row = {"most frequent sense": summarise(test, is_most_frequent(train, test))}
    for name, X in vectors["train"].items():
        Y, Z = vectors["dev"][name], vectors["test"][name]
        on_dev = {k: v.mean() for k, v in is_nearest_neighbour(train, X, dev, Y).items()}
        k = max(on_dev, key=lambda k: (on_dev[k], -k))
        neighbours = is_nearest_neighbour(train, X, test, Z, (k,))[k]
        result[name] = {
            "centroid": summarise(test, is_nearest_centroid(train, X, test, Z)),
            "neighbours": {"k": k, **summarise(test, neighbours)},
        }
    return {"items": {split: len(found) for split, found in rows.items()}, **result}


def summarise(items: Items, is_right: Bools) -> Row:
    """The share of right answers, over all items, their standard error, and for each lemma."""
    share = float(is_right.mean())
    return {
        "accuracy": round(share, 4),
        "standard error": round((share * (1 - share) / len(is_right)) ** 0.5, 4),
        "items": len(is_right),
        "lemmas": {
            lemma: {"accuracy": round(float(is_right[rows].mean()), 4), "items": len(rows)}
            for lemma, rows in items.by_lemma()
        },
    }


def score_pairs(encode: Encode, rows: dict[str, list[Row]]) -> Row:
    """Accuracies on WiC."""
    labels = {split: np.array([row["label"] for row in found]) for split, found in rows.items()}
    cosines: dict[str, dict[str, Floats]] = {}
    for split, found in rows.items():
        first, second = (
            encode([Occurrence(row[f"tokens{i}"], row[f"index{i}"]) for row in found], split)
            for i in (1, 2)
        )
        cosines[split] = {name: cosine(first[name], second[name]) for name in first}
    result: Row = {}
    for name, values in cosines["train"].items():
        threshold, accuracy = find_threshold(values, labels["train"])
        result[name] = {"threshold": round(threshold, 4), "train": round(accuracy, 4)}
        for split in ("dev", "test"):
            is_right = (cosines[split][name] >= threshold) == labels[split]
            result[name][split] = round(float(is_right.mean()), 4)
    best = max((name for name in result if is_contextual(name)), key=lambda n: result[n]["train"])
    majority = {split: round(float(max(v.mean(), 1 - v.mean())), 4) for split, v in labels.items()}
    sizes = {split: len(found) for split, found in rows.items()}
    return {"items": sizes, "majority": majority, **result, "best by train": {best: result[best]}}


def is_contextual(name: str) -> bool:
    return not name.endswith((" word", " bag"))


if __name__ == "__main__":
    typer.run(main)
