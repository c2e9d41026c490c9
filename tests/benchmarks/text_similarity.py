"""Whether texts that people find alike have vectors that are alike: SICK (Marelli et al. 2014).

    python -m tests.benchmarks.text_similarity DATA [--encoders en_transformer_sm,minilm,PIPELINE]
        [--part test]

DATA is a folder with {train,dev,test}.jsonl.gz, a row an object of {"text1", "text2", "score"}.
Nothing is trained. Spearman's rank correlation, in percent, of the scores with `doc.similarity`,
the cosine of the means of token vectors; for pipelines with a pooling of their own, of these.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import typer
from numpy.typing import NDArray
from spacy.language import Language


def main(
    data: Path = typer.Argument(..., help="Folder of SICK", exists=True),
    encoders: str = typer.Option("en_transformer_sm,minilm", help="Weights, or pipelines"),
    part: str = typer.Option("test", help="train, dev or test"),
) -> None:
    """Print a line for each encoder."""
    with gzip.open(data / f"{part}.jsonl.gz", "rt", encoding="utf8") as file:
        rows = [json.loads(line) for line in file]
    for encoder in encoders.split(","):
        similarities = compare(load(encoder), rows)
        scores = np.array([row["score"] for row in rows])
        print(f"{encoder}: {100 * correlate_ranks(similarities, scores):.1f}")


def load(encoder: str) -> Language:
    """A pipeline with an encoder of the package, or one on disk."""
    if Path(encoder).is_dir():
        return spacy.load(encoder)
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": encoder})
    return nlp


def compare(nlp: Language, rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    """The similarity of the two texts of each row, (n,)."""
    docs = list(nlp.pipe(row[key] for row in rows for key in ("text1", "text2")))
    pairs = zip(docs[::2], docs[1::2], strict=True)
    return np.array([first.similarity(second) for first, second in pairs])


def correlate_ranks(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Spearman's coefficient: that of Pearson between ranks; equal values have their mean rank."""
    return float(np.corrcoef(rank(x), rank(y))[0, 1])


def rank(values: NDArray[Any]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]


if __name__ == "__main__":
    typer.run(main)
