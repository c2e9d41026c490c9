"""`python -m spacy ctxemb ask`"""

from pathlib import Path

import typer

from .print_table import print_json, print_table
from .search import INDEX, JSON, PIPELINE, load_index


def ask(
    index_path: Path = INDEX,
    question: str = typer.Argument(..., help="What to answer"),
    reader: str | None = typer.Option(
        None, help="Pipeline with ctxemb_qa that reads the passages; else that of the index"
    ),
    n: int = typer.Option(3, "-n", min=1, help="Answers to print"),
    passages: int = typer.Option(10, min=1, help="Passages to read"),
    pipeline: str | None = PIPELINE,
    as_json: bool = JSON,
) -> None:
    """Answer a question from the passages of an index, the best answer first."""
    import spacy

    from ..search.answers import ask as find_answers

    built = load_index(index_path, pipeline)
    nlp = None if reader is None else spacy.load(reader)
    answers = find_answers(built, question, n, n_passages=passages, reader=nlp)
    if as_json:
        print_json([{**x._asdict(), "hit": x.hit._asdict()} for x in answers])
        return
    rows = [(x.text, f"{x.score:.3f}", f"{x.id}:{x.start}-{x.end}", x.read) for x in answers]
    print_table(("answer", "score", "source", "passage"), rows)
