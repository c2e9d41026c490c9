"""`python -m spacy ctxemb align-score`"""

from pathlib import Path

import typer


def align_score(
    gold: Path = typer.Argument(
        ..., help="Links made by people: 0-0 1p2 a sentence a line, or `sentence i j S|P`"
    ),
    found: Path = typer.Argument(..., help="Links that `align` has found, in either format"),
) -> None:
    """Print precision, recall, F and the alignment error rate (AER) of links."""
    from ..alignment.score import score_files

    scores = score_files(gold, found)
    for name, value in scores._asdict().items():
        print(f"{name:<10} {100 * value:6.2f}")
