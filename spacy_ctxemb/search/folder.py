"""The folder of an index: what is in it, and whether that is whole."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from ..bulk.levels import LEVELS
from ..errors import Errors
from ..read_files import compute_checksum, describe, find_damage, is_failure, read_bytes
from .passages import StoredPassages
from .vectors import DTYPES, ExactVectors, GraphVectors

#: The file that describes the others.
INDEX = "index.json"

#: Raised whenever an older version could not read what this one writes.
FORMAT = 1

STORES = {store.file: store for store in (ExactVectors, GraphVectors)}

FILES = {INDEX, StoredPassages.file, *STORES}


class Described(NamedTuple):
    """What index.json says.

    encoder: its digest. pipeline: its path or name, if it has one. next_key, next_id: of the next
    passage, and of the next text without an id. checksums: of the other files.
    """

    format: int
    level: str
    spans_key: str | None
    dtype: str
    width: int
    n_passages: int
    exact_limit: int
    encoder: str
    pipeline: str | None
    next_key: int
    next_id: int
    checksums: dict[str, str]


def write_described(described: Described, folder: Path) -> None:
    text = json.dumps(described._asdict(), indent=2)
    (folder / INDEX).write_text(f"{text}\n", encoding="utf8")


def read_described(folder: Path) -> Described:
    """Read index.json, and compare the other files with it.

    Raises E713 for a folder that is not there or not whole, E714 for another format.
    """
    try:
        found = json.loads(read_bytes(folder / INDEX))
        if isinstance(found, dict) and found.get("format") != FORMAT:
            values = {"found": found.get("format"), "known": FORMAT}
            raise ValueError(Errors.E714.format(path=folder, **values))
        described = Described(**found)
        check_values(described)
        for name, checksum in described.checksums.items():
            if compute_checksum(folder / name) != checksum:
                raise ValueError(f"{name} is not the file that was written with {INDEX}")
    except BaseException as error:
        if not is_failure(error) or str(error).startswith("[E714]"):
            raise
        raise build_error(folder, error) from error
    return described


def check_values(described: Described) -> None:
    """Raise ValueError where index.json has what no index writes."""
    names = set(described.checksums)
    numbers = ("width", "n_passages", "exact_limit", "next_key", "next_id")
    are_right = {
        **{name: is_number(getattr(described, name)) for name in numbers},
        "level": described.level in LEVELS,
        "dtype": described.dtype in DTYPES,
        "spans_key": isinstance(described.spans_key, str | None),
        "pipeline": isinstance(described.pipeline, str | None),
        "checksums": StoredPassages.file in names and len(names & {*STORES}) == len(names) - 1 == 1,
    }
    for name, is_right in are_right.items():
        if not is_right:
            raise ValueError(f"{INDEX} has {name} = {getattr(described, name)!r:.80}")


def is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def build_error(folder: Path, error: BaseException) -> ValueError:
    """E713, with what is wrong with the folder or one of its files."""
    damaged = [(x, find_damage(folder / x)) for x in (INDEX, StoredPassages.file)]
    if not folder.is_dir():
        damaged = [(folder.name, find_damage(folder) or "it is no folder")]
    reason = next((f"{name}: {damage}" for name, damage in damaged if damage), describe(error))
    return ValueError(Errors.E713.format(path=folder, reason=reason))


def check_replaceable(folder: Path) -> None:
    """Raise E724 for a folder with other files than those of an index."""
    names: set[Any] = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if names - FILES:
        raise ValueError(Errors.E724.format(path=folder, names=sorted(names - FILES)[:5]))
