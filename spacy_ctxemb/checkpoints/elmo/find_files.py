"""Where the two files of an ELMo model lie: side by side, or in one ZIP file."""

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ...errors import Errors

#: Files of another format, ELMoForManyLangs.
FOREIGN_FILES = {"encoder.pkl", "token_embedder.pkl", "char.dic"}

#: What a damaged, encrypted or oddly compressed ZIP file raises.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


class Source(NamedTuple):
    """A file to read, and the name that messages give it."""

    path: Path
    name: str


class ModelFiles(NamedTuple):
    options: Source
    weights: Source


@contextmanager
def open_model(options: Path, weights: Path | None) -> Iterator[ModelFiles]:
    """The files of a model, for as long as they are needed.

    options: options.json, or a ZIP file. weights: the HDF5 file; None with a ZIP file.
    Raises E300, E301, E304, E310 or E311 for files of another kind.
    """
    for path in (options,) if weights is None else (options, weights):
        check_file(path)
    is_zip = begins_like_zip(options)
    if is_zip == (weights is not None):
        template = Errors.E304 if weights is None else Errors.E301
        raise ValueError(template.format(options=options, weights=weights))
    if weights is not None:
        yield ModelFiles(Source(options, str(options)), Source(weights, str(weights)))
        return
    with TemporaryDirectory() as folder:
        yield extract(options, Path(folder))


def check_file(path: Path) -> None:
    """Raise E300 for an address, a folder or a missing file; E311 for ELMoForManyLangs."""
    if re.match("https?:/", str(path)):
        address = re.sub(":/+", "://", str(path), count=1)
        raise ValueError(Errors.E300.format(path=address, reason="is an address; download it"))
    if path.is_dir():
        if FOREIGN_FILES & {child.name for child in path.iterdir()}:
            raise ValueError(Errors.E311.format(path=path))
        raise ValueError(Errors.E300.format(path=path, reason="is a folder"))
    if not path.is_file():
        raise ValueError(Errors.E300.format(path=path, reason="is not there"))


def begins_like_zip(path: Path) -> bool:
    """Also true of a file that has lost its end."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def extract(path: Path, folder: Path) -> ModelFiles:
    """Copy both files of a model out of a ZIP file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if is_visible(name)]
            members = find_members(names, path)
            sources = [Source(folder / end, f"{path}/{name}") for end, name in members.items()]
            for source, name in zip(sources, members.values(), strict=True):
                with archive.open(name) as member, source.path.open("wb") as copy:
                    shutil.copyfileobj(member, copy)
    except ZIP_ERRORS as error:
        reason = f"it cannot be unpacked ({error})"
        raise ValueError(Errors.E310.format(path=path, reason=reason)) from error
    return ModelFiles(*sources)


def is_visible(name: str) -> bool:
    """Whether a name is that of a file, and not one that macOS adds."""
    return not name.endswith("/") and not PurePosixPath(name).name.startswith("._")


def find_members(names: list[str], path: Path) -> dict[str, str]:
    """The options and the weights among the files of a ZIP file, by how they end."""
    bases = {name: PurePosixPath(name).name for name in names}
    if FOREIGN_FILES & set(bases.values()):
        raise ValueError(Errors.E311.format(path=path))
    found = {
        "options.json": [name for name, base in bases.items() if base == "options.json"],
        ".hdf5": [name for name, base in bases.items() if base.endswith(".hdf5")],
    }
    if any(len(members) != 1 for members in found.values()):
        listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" * (len(names) > 10))
        raise ValueError(Errors.E310.format(path=path, reason=f"it holds {listed or 'nothing'}"))
    return {end: members[0] for end, members in found.items()}
