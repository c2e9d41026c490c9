"""`--force`, without which no command replaces a file."""

from pathlib import Path

import typer

FORCE: bool = typer.Option(False, "--force", "-F", help="Replace files that exist")


def check_new(*paths: Path, force: bool) -> None:
    """Raise E510 for a path that exists, unless it may be replaced."""
    from ..errors import Errors

    for path in paths:
        if path.exists() and not force:
            raise ValueError(Errors.E510.format(path=path))
