"""What three tasks lose where the encoder computes in 8 bits.

    python -m tests.benchmarks.int8_tasks --data FOLDER [--encoder minilm]
        [--train 2000] [--dev 1000]

FOLDER: of ag_news, trec_qc and sentence_polarity, as for few_labels. A logistic regression is
fitted on vectors of texts in fp32, and reads development texts in fp32, bf16 and int8. For each:
its accuracy, the share of texts that keep the class of fp32, and the mean cosine of the vectors
with those of fp32.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from spacy.language import Language

from spacy_ctxemb.stack.name_encoders import list_encoders

from .few_labels import Row, read_rows
from .text_similarity import load

PRECISIONS = ("fp32", "bf16", "int8")


def main(
    data: Path = typer.Option(..., help="Folder of the data sets", exists=True),
    encoder: str = typer.Option("minilm", help="Weights of the package, or a pipeline on disk"),
    datasets: str = typer.Option("ag_news,trec_qc,sentence_polarity", help="Data sets"),
    train: int = typer.Option(2000, help="Training texts at most"),
    dev: int = typer.Option(1000, help="Development texts at most"),
) -> None:
    """Print a line for each data set and precision."""
    nlp = load(encoder)
    for name in datasets.split(","):
        examples, held_out = (
            draw(read_rows(data / name, part), n) for part, n in (("train", train), ("dev", dev))
        )
        model = LogisticRegression(max_iter=5000)
        model.fit(encode(nlp, examples, "fp32"), [row["label"] for row in examples])
        exact = encode(nlp, held_out, "fp32")
        expected = model.predict(exact)
        for precision in PRECISIONS:
            found = encode(nlp, held_out, precision)
            classes = model.predict(found)
            right = np.mean([a == row["label"] for a, row in zip(classes, held_out, strict=True)])
            line = {"data": name, "precision": precision, "accuracy": round(100 * float(right), 1)}
            line["same class"] = round(100 * float(np.mean(classes == expected)), 1)
            line["mean cosine"] = round(float(np.mean(cosines(found, exact))), 5)
            print(json.dumps(line), flush=True)


def draw(rows: Sequence[Row], n: int) -> list[Row]:
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[i] for i in order[:n]]


def encode(nlp: Language, rows: Sequence[Row], precision: str) -> NDArray[np.float32]:
    next(iter(list_encoders(nlp)))[1].embedder.encoder.set_precision(precision)
    return np.stack([doc.vector for doc in nlp.pipe(row["text"] for row in rows)])


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, width) each. (n,)"""
    norms: NDArray[np.float32] = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / norms


if __name__ == "__main__":
    typer.run(main)
