"""What a command may write to: `--force`, without which none replaces a file, and new folders."""

from pathlib import Path

import typer

FORCE: bool = typer.Option(False, "--force", "-F", help="Replace files that exist")


def check_new(*paths: Path, force: bool) -> None:
    """Raise E510 for a path that exists, unless it may be replaced."""
    from ..errors import Errors

    for path in paths:
        if path.exists() and not force:
            raise ValueError(Errors.E510.format(path=path))


def check_output(output: Path) -> None:
    """Raise E362 if there is anything but an empty directory, E166 for the working directory."""
    from ..atomic_files import refuse_working_directory
    from ..errors import Errors

    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise ValueError(Errors.E362.format(path=output))
    refuse_working_directory(output)
