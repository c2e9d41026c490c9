"""Writing files so that a full disk or a missing permission ends in a message."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ..atomic_files import replacing
from ..errors import Errors


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` at the end; its folder is made if need be.

    Raises E466 if the disk or a permission does not allow it; what was at `path` stays then.

    Example:
        with writing(Path("run/log.jsonl")) as temporary:
            temporary.write_text(text)
    """
    with reporting_failed_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            yield temporary


@contextmanager
def reporting_failed_writes(path: Path) -> Iterator[None]:
    """Raise E466 with a path where something inside cannot be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if re.match(r"\[E\d", str(error)):
            raise
        raise OSError(Errors.E466.format(path=path, reason=error)) from error


def write_json(data: object, path: Path) -> None:
    """Write a JSON file. Raises E466 as `writing` does."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf8")
