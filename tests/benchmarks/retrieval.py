"""How well questions find the paragraphs that answer them, in a file of SQuAD's format.

    python -m tests.benchmarks.retrieval XQUAD_JSON [--limit 0]

Each paragraph is a text of the index, each question a query; the paragraph that it belongs to is
the right one. Rows: BM25 (`pip install bm25s`), all-MiniLM-L6-v2 (the extra `minilm`), and the
weights of the package; at the level doc a paragraph has one vector, at the level sent it stands
where its best sentence does. Before a row of vectors is printed, all its scores are compared with
the product of all vectors in NumPy.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import spacy
import typer
from spacy.language import Language

import spacy_ctxemb
from spacy_ctxemb.heads.squad import read_questions, read_squad
from spacy_ctxemb.search.evaluation import DEPTH, Qrels, evaluate, score_rankings
from spacy_ctxemb.search.index import Index

ENCODERS = {"all-MiniLM-L6-v2": "minilm", "weights of the package": "auto"}
COLUMNS = ("recall@1", "recall@5", "ndcg@10", "mrr@10")


def main(
    questions: Path = typer.Argument(..., help="A file of SQuAD's format"),
    limit: int = typer.Option(0, help="Questions to ask, 0 for all"),
) -> None:
    texts, queries, qrels = read(questions, limit)
    print(f"{len(texts)} paragraphs, {len(queries)} questions\n")
    print(f"| | level | {' | '.join(COLUMNS)} | passages | seconds to index | ms a query |")
    print("|---" * (len(COLUMNS) + 5) + "|")
    print_row("BM25", "doc", rank_by_words(texts, queries, qrels), len(texts))
    for name, weights in ENCODERS.items():
        nlp = spacy.blank("en")
        nlp.add_pipe("sentencizer")
        nlp.add_pipe("ctxemb", config={"pretrained": weights})
        for level in ("doc", "sent"):
            index = Index(nlp, level, dtype="float32")
            start = time.perf_counter()
            index.add((text, id) for id, text in texts.items())
            seconds = time.perf_counter() - start
            check_brute_force(nlp, index, texts, queries)
            start = time.perf_counter()
            index.search([*queries.values()], DEPTH)
            times = seconds, 1000 * (time.perf_counter() - start) / len(queries)
            print_row(name, level, evaluate(index, queries, qrels), len(index), times)


def read(path: Path, limit: int) -> tuple[dict[str, str], dict[str, str], Qrels]:
    """Paragraphs and questions by their ids, and the paragraph of each question."""
    found = [doc for article in read_squad(path, spacy.blank("en").make_doc) for doc in article]
    places = {text: f"p{i}" for i, text in enumerate(dict.fromkeys(doc.text for doc in found))}
    asked = found[: limit or None]
    queries = {f"q{i}": read_questions(doc)[0].text for i, doc in enumerate(asked)}
    qrels = {f"q{i}": [places[doc.text]] for i, doc in enumerate(asked)}
    return {id: text for text, id in places.items()}, queries, qrels


def rank_by_words(
    texts: Mapping[str, str], queries: Mapping[str, str], qrels: Qrels
) -> dict[str, float]:
    """BM25 with the defaults of bm25s and English stop words."""
    import bm25s

    ranker = bm25s.BM25()
    quiet = {"show_progress": False}
    ranker.index(bm25s.tokenize([*texts.values()], stopwords="en", **quiet), **quiet)
    words = bm25s.tokenize([*queries.values()], stopwords="en", **quiet)
    ids = [*texts]
    found, _ = ranker.retrieve(words, k=min(DEPTH, len(ids)), **quiet)
    rankings = {q: [ids[i] for i in row] for q, row in zip(queries, found, strict=True)}
    return score_rankings(rankings, qrels)


def check_brute_force(
    nlp: Language, index: Index, texts: Mapping[str, str], queries: Mapping[str, str]
) -> None:
    """Raise AssertionError unless the best passages have the largest products of all vectors."""
    rows = spacy_ctxemb.encode(nlp, [*texts.values()], index.level)
    asked = spacy_ctxemb.encode(nlp, [*queries.values()])
    rows, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, asked))
    products = asked @ rows.T
    best = -np.sort(-products, axis=1)[:, :DEPTH]
    for query, hits in enumerate(index.search([*queries.values()], DEPTH)):
        scores = [hit.score for hit in hits]
        np.testing.assert_allclose(scores, best[query], atol=1e-5)
        keys = [hit.key for hit in hits]  # the numbers of the rows, where each has a vector
        np.testing.assert_allclose(products[query, keys], best[query], atol=1e-5)


def print_row(
    name: str,
    level: str,
    scores: Mapping[str, float],
    n_passages: int,
    times: tuple[float, float] | None = None,
) -> None:
    """times: seconds to index, and milliseconds a query."""
    cells = [f"{100 * scores[column]:.1f}" for column in COLUMNS]
    cells += [str(n_passages), *(["", ""] if times is None else [f"{x:.1f}" for x in times])]
    print(f"| {name} | {level} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
