"""What a value of a JSON file may be, for the tables of the formats."""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

#: In the place of a default: the key must be there.
REQUIRED = object()


class Kind(NamedTuple):
    """What a value may be, and how a message says so."""

    fits: Callable[[Any], bool]
    description: str


def is_whole(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_positive(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def one_of(values: tuple[Any, ...]) -> Kind:
    """One of some values; 1 is not true."""
    return Kind(
        lambda value: any(type(value) is type(v) and value == v for v in values),
        " or ".join(map(shorten, values)),
    )


SIZE = Kind(is_whole, "a whole number from 1")
COUNT = Kind(lambda value: is_whole(value, 0), "a whole number from 0")
POSITIVE = Kind(is_positive, "a number above 0")
SWITCH = Kind(lambda value: isinstance(value, bool), "true or false")


def shorten(value: object) -> str:
    """A value as JSON, cut to 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
