"""Where the two files of an ELMo model lie: side by side, or in one ZIP file."""

import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ...errors import Errors
from ...read_files import coding_errors
from ...remote.choose_files import OF_OTHERS, choose_elmo, list_elmo
from ...remote.find_model import Found, find_file, find_folder, hide_secrets

#: Files of another format, ELMoForManyLangs.
FOREIGN_FILES = {"encoder.pkl", "token_embedder.pkl", "char.dic"}

#: Bytes that a ZIP file may unpack to; ELMo's largest model has 374 MB.
UNPACK_LIMIT = 10**9


class Source(NamedTuple):
    """A file to read, and the name that messages give it."""

    path: Path
    name: str


class ModelFiles(NamedTuple):
    options: Source
    weights: Source


def find_elmo(files: Sequence[str]) -> tuple[list[Path], list[Found]]:
    """The files of a model on this machine, and where they come from.

    files: options and weights, paths or addresses; or one: a ZIP file, or a folder or OWNER/NAME on
        the Hugging Face Hub with both files.
    Raises E370 to E378 and E399 for what cannot be downloaded, E396 for a name that is taken for a
    path.

        find_elmo(["owner/elmo"])
    """
    if len(files) > 1 or hide_secrets(files[0]).endswith(".zip"):
        origins = [find_file(file) for file in files]
        return [found.path for found in origins], origins
    found = find_folder(files[0], choose_elmo)
    return find_elmo_files(found.path) or [found.path], [found]


def find_elmo_files(path: Path) -> list[Path]:
    """The files of an ELMo at a path: one ZIP file, or two; none in the folder of another model."""
    if path.suffix == ".zip" and path.is_file():
        return [path]
    names = {file.name for file in path.glob("*")}
    if names & OF_OTHERS:
        return []
    found = list_elmo(names)
    if all(found):
        return [path / files[0] for files in found]
    return sorted(path.glob("*.zip"))[:1]


@contextmanager
def open_model(
    options: Path, weights: Path | None, unpack_limit: float = UNPACK_LIMIT
) -> Iterator[ModelFiles]:
    """The files of a model, for as long as they are needed.

    options: options.json, or a ZIP file. weights: the HDF5 file; None with a ZIP file.
    unpack_limit: bytes that a ZIP file may unpack to.
    Raises E300, E301, E304, E310, E311 or E315 for files of another kind.
    """
    beginnings = [check_file(path) for path in (options, weights) if path is not None]
    is_zip = beginnings[0] == b"PK"
    if is_zip == (weights is not None):
        template = Errors.E304 if weights is None else Errors.E301
        raise ValueError(template.format(options=options, weights=weights))
    if weights is not None:
        yield ModelFiles(Source(options, str(options)), Source(weights, str(weights)))
        return
    with TemporaryDirectory() as folder:
        yield extract(options, Path(folder), unpack_limit)


def check_file(path: Path) -> bytes:
    """The first two bytes of a file.

    Raises E300 for an address, a folder or a file that cannot be read; E311 for ELMoForManyLangs.
    """
    if re.match("https?:/", str(path)):
        address = re.sub(":/+", "://", str(path), count=1)
        raise ValueError(Errors.E300.format(path=address, reason="is an address; download it"))
    try:
        if path.is_dir():
            if FOREIGN_FILES & {child.name for child in path.iterdir()}:
                raise ValueError(Errors.E311.format(path=path))
            raise ValueError(Errors.E300.format(path=path, reason="is a folder"))
        if not path.is_file():
            raise ValueError(Errors.E300.format(path=path, reason="is not there"))
        with path.open("rb") as file:
            return file.read(2)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise ValueError(Errors.E300.format(path=path, reason=reason)) from error


def extract(path: Path, folder: Path, limit: float) -> ModelFiles:
    """Copy both files of a model out of a ZIP file, under names of our own.

    Raises E315 for more bytes than the limit, E310 for a file that cannot be unpacked.
    """
    with coding_errors(Errors.E310, path=path), zipfile.ZipFile(path) as archive:
        members = find_members([m for m in archive.infolist() if is_visible(m.filename)], path)
        size = sum(member.file_size for member in members.values())
        if size > limit:
            sizes = {"size": show_size(size), "limit": show_size(limit)}
            raise ValueError(Errors.E315.format(path=path, **sizes))
        sources = [
            Source(folder / end, f"{path}/{clean(member.filename)}")
            for end, member in members.items()
        ]
        for source, member in zip(sources, members.values(), strict=True):
            # No more bytes come out than the archive's directory says.
            with archive.open(member) as packed, source.path.open("wb") as copy:
                shutil.copyfileobj(packed, copy)
    return ModelFiles(*sources)


def show_size(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def is_visible(name: str) -> bool:
    """Whether a name is that of a file, and not one that macOS adds."""
    return not name.endswith("/") and not PurePosixPath(name).name.startswith("._")


def find_members(members: list[zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    """The options and the weights among the files of a ZIP file, by how they end.

    Raises E310 unless there is one of each, E311 for ELMoForManyLangs.
    """
    bases = [PurePosixPath(member.filename).name for member in members]
    if FOREIGN_FILES & set(bases):
        raise ValueError(Errors.E311.format(path=path))
    pairs = list(zip(bases, members, strict=True))
    found = {
        "options.json": [member for base, member in pairs if base == "options.json"],
        ".hdf5": [member for base, member in pairs if base.endswith(".hdf5")],
    }
    if any(len(matching) != 1 for matching in found.values()):
        listed = ", ".join(clean(member.filename) for member in members[:10])
        listed += f" and {len(members) - 10} more" * (len(members) > 10)
        raise ValueError(Errors.E310.format(path=path, reason=f"it holds {listed or 'nothing'}"))
    return {end: matching[0] for end, matching in found.items()}


def clean(name: str) -> str:
    """A name for a message, without control characters and cut to 60 characters."""
    text = repr(name)[1:-1]
    return text if len(text) <= 60 else f"{text[:57]}..."
