"""JSON files that others wrote: reading them, and types for what their values may be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from ..errors import Errors
from ..read_files import LFS_POINTER, coding_errors

#: No file of a model's settings or vocabulary is longer, and no object in one is deeper.
MOST_BYTES = 200_000_000
MOST_LEVELS = 20

#: The largest width, table or window, and the largest number of layers: more than any model has.
LARGEST = 2**24
DEEPEST = 1000


class Missing:
    """Stands for a value that a file should have and has not."""


#: In the place of a default: the key must be there.
REQUIRED: Any = Field(Missing, validate_default=True)


class Typed(BaseModel):
    """An object in a JSON file. Types are JSON's: 1 is not true, and "1" is no number.

    Keys without a field are ignored.
    """

    model_config = ConfigDict(strict=True, populate_by_name=True, protected_namespaces=())


T = TypeVar("T", bound=BaseModel)


def expect(description: str) -> WrapValidator:
    """Whatever is wrong with a value, let the message say what was expected."""

    def validate(value: Any, check: Callable[[Any], Any]) -> Any:
        try:
            return check(value)
        except ValidationError as error:
            raise PydanticCustomError("expected", "{it}", {"it": description}) from error

    return WrapValidator(validate)


def one_of(*values: Any) -> WrapValidator:
    """One of some values; 1 is not true."""
    description = " or ".join(map(shorten, values))

    def validate(value: Any, check: Callable[[Any], Any]) -> Any:
        if not any(type(value) is type(known) and value == known for known in values):
            raise PydanticCustomError("expected", "{it}", {"it": description})
        return check(value)

    return WrapValidator(validate)


Size = Annotated[int, Field(ge=1, le=LARGEST), expect(f"a whole number from 1 to {LARGEST}")]
Depth = Annotated[int, Field(ge=1, le=DEEPEST), expect(f"a whole number from 1 to {DEEPEST}")]
Switch = Annotated[bool, expect("true or false")]
#: What a layer norm adds to a variance: enough that a row of zeros stays finite.
Epsilon = Annotated[float, Field(ge=1e-30, le=1e3), expect("a number above 0, up to 1000")]


def read_text(path: Path, *, name: object = None, message: str = Errors.E331) -> str:
    """The text of a file in UTF-8. Raises `message` for a file that holds something else."""
    with coding_errors(message, path=name or path):
        check_pointer(path)
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        return path.read_text(encoding="utf8")


def check_pointer(path: Path) -> None:
    """Raise E340 for a pointer of Git LFS."""
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ValueError(Errors.E340.format(path=path))


def read_json(
    path: Path, *, name: object = None, kind: type = dict, message: str = Errors.E331
) -> Any:
    """The value in a JSON file, an object or a list.

    name: of the file in messages; None for its path. kind: dict or list.
    Raises `message`, with the path and the reason, for a file that holds something else.
    """
    text = read_text(path, name=name, message=message)
    with coding_errors(message, path=name or path):
        data = json.loads(text)
        if is_deep(data):
            raise ValueError(f"its values are nested more than {MOST_LEVELS} levels deep")
        if not isinstance(data, kind):
            raise ValueError(f"it holds {shorten(data)}")
        if "\\ud" in text.lower():  # half of a surrogate pair is no text, and cannot be written
            json.dumps(data, ensure_ascii=False).encode("utf8")
    return data


def is_deep(data: Any) -> bool:
    """Whether a value is nested deeper than any file of a model."""
    level = [data]
    for _ in range(MOST_LEVELS):
        parents = [value for value in level if isinstance(value, dict | list)]
        level = [v for p in parents for v in (p.values() if isinstance(p, dict) else p)]
    return bool(level)


def read_optional(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is no such file."""
    return read_json(path) if path.is_file() else {}


def read_typed(path: Path, kind: type[T]) -> T:
    """The object in a JSON file, its defaults where there is no such file.

    Raises E331 for a file that holds something else, E333 for a value of another type.
    """
    return check_types(read_optional(path), kind, path=path)


def check_types(data: object, kind: type[T], *, path: object, message: str = Errors.E333) -> T:
    """Data as the object of a type. Raises `message` for the first value that does not fit."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        expected = first["msg"].removeprefix("Input should be ")
        if first["type"] in ("model_type", "dict_type"):
            expected = "an object"
        key, found = ".".join(map(str, first["loc"])), shorten(first["input"])
        raise ValueError(
            message.format(path=path, key=key, found=found, expected=expected)
        ) from error


def shorten(value: object) -> str:
    """A value as JSON, cut to 60 characters."""
    text = "missing" if value is Missing else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
