"""`python -m spacy ctxemb search`"""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .print_table import print_json, print_table

if TYPE_CHECKING:
    from ..search.index import Index

INDEX: Path = typer.Argument(..., help="Folder that `index` has written")
PIPELINE: str | None = typer.Option(
    None, help="Pipeline with the encoder of the index; else the one that the index names"
)
JSON: bool = typer.Option(False, "--json", help="Print JSON instead of a table")


def search(
    index_path: Path = INDEX,
    query: str = typer.Argument(..., help="What to look for"),
    n: int = typer.Option(10, "-n", min=1, help="Passages to print"),
    pipeline: str | None = PIPELINE,
    as_json: bool = JSON,
) -> None:
    """Print the passages of an index that mean what a query means, the nearest one first."""
    hits = load_index(index_path, pipeline).search(query, n)
    if as_json:
        print_json([hit._asdict() for hit in hits])
        return
    rows = [(f"{x.score:.3f}", f"{x.id}:{x.start}-{x.end}", x.text) for x in hits]
    print_table(("score", "source", "passage"), rows)


def load_index(path: Path, pipeline: str | None) -> "Index":
    import spacy

    from ..search.index import Index

    return Index.load(path, None if pipeline is None else spacy.load(pipeline))
