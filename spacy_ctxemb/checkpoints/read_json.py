"""Reading JSON files, and what a value in them may be: for the tables of the formats."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Errors

#: In the place of a default: the key must be there.
REQUIRED = object()


def read_json(
    path: Path, *, name: object = None, kind: type = dict, message: str = Errors.E331
) -> Any:
    """The value in a JSON file, an object or a list.

    name: of the file in messages; None for its path. kind: dict or list.
    Raises `message`, with the path and the reason, for a file that holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise ValueError(message.format(path=name or path, reason=error)) from error
    if not isinstance(data, kind):
        raise ValueError(message.format(path=name or path, reason=f"it holds {shorten(data)}"))
    return data


def read_optional(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is no such file."""
    return read_json(path) if path.is_file() else {}


class Kind(NamedTuple):
    """What a value may be, and how a message says so."""

    fits: Callable[[Any], bool]
    description: str


def is_whole(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: Any) -> bool:
    is_any = isinstance(value, int | float) and not isinstance(value, bool)
    return is_any and math.isfinite(value)


def one_of(values: tuple[Any, ...]) -> Kind:
    """One of some values; 1 is not true."""
    return Kind(
        lambda value: any(type(value) is type(v) and value == v for v in values),
        " or ".join(map(shorten, values)),
    )


SIZE = Kind(is_whole, "a whole number from 1")
COUNT = Kind(lambda value: is_whole(value, 0), "a whole number from 0")
POSITIVE = Kind(lambda value: is_number(value) and value > 0, "a number above 0")
BOUND = Kind(lambda value: is_number(value) and value >= 0, "a number from 0, or null")
SWITCH = Kind(lambda value: isinstance(value, bool), "true or false")


def shorten(value: object) -> str:
    """A value as JSON, cut to 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
