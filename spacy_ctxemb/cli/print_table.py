"""Tables that fit into a terminal, and JSON."""

import json
import shutil
from collections.abc import Sequence

import typer

#: The narrowest last column, and the widest of the others.
NARROWEST, WIDEST = 10, 40


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows one a line; the last column takes the room that the others leave."""
    plain = [[" ".join(cell.split()) for cell in row] for row in rows]
    columns = zip(header, *plain, strict=True)
    widths = [min(max(map(len, column)), WIDEST) for column in columns][:-1]
    room = shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths)
    widths.append(max(room, NARROWEST))
    for row in (header, ["-" * len(name) for name in header], *plain):
        cells = [shorten(*pair).ljust(pair[1]) for pair in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())


def shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=2))
