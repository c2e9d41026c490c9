"""Reading files that may be lost, cut short or of another kind, with a message that says so."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any

from .errors import Errors, is_coded

if TYPE_CHECKING:
    from torch import Tensor

#: How a file begins that Git LFS puts in the place of another.
LFS_POINTER = b"version https://git-lfs"
POINTER = "it is a pointer of Git LFS, not the file itself"

#: What to do about a file that is not whole.
REPLACE = "Put a whole copy in its place, or write it again."


@contextmanager
def reading(source: Path | str, expected: str, *, advice: str = REPLACE) -> Iterator[None]:
    """Turn whatever fails inside into a message about a file. Coded errors stay as they are.

    source: the file, or a name for bytes that come from none. expected: what it should be.
    advice: what to do next. Raises E163.

        with reading(path, "a vocabulary in JSON"):
            data = json.loads(path.read_text(encoding="utf8"))
    """
    try:
        yield
    except BaseException as error:  # parsers of damaged files fail in any way
        if is_coded(error) or not is_failure(error):
            raise
        damage = find_damage(source) if isinstance(source, Path) else None
        if damage == POINTER:
            advice = "Run `git lfs pull` in its repository, or copy the file itself."
        found = f"it has no {error}" if isinstance(error, KeyError) else describe(error)
        message = Errors.E163.format(
            path=source, expected=expected, reason=damage or found, advice=advice
        )
        raise ValueError(message) from error


@contextmanager
def naming(setting: str) -> Iterator[None]:
    """Let coded errors say which setting has the value that they are about."""
    try:
        yield
    except (ValueError, OSError) as error:
        if not is_coded(error):
            raise
        raise type(error)(f"{error} It is the value of {setting}.") from error


@contextmanager
def coding_errors(message: str, **values: object) -> Iterator[None]:
    """Raise a ValueError with `message` for whatever a library raises inside.

    message: takes `values`, and the reason. Errors that have a code stay as they are.
    """
    try:
        yield
    except BaseException as error:
        if is_coded(error) or not is_failure(error):
            raise
        raise ValueError(message.format(reason=describe(error), **values)) from error


def read_tensors(path: Path, expected: str, *, advice: str = REPLACE) -> "dict[str, Tensor]":
    """The tensors of a safetensors file, mapped from it. Raises E163; see `reading`."""
    from safetensors.torch import load_file

    with reading(path, expected, advice=advice):
        check_regular(path)
        tensors: dict[str, Tensor] = load_file(path)
    return tensors


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file that are not blank, without white space around them.

    Raises E163 for another file.
    """
    with reading(path, "text in UTF-8"), path.open(encoding="utf8") as lines:
        return [line.strip() for line in lines if not line.isspace()]


def compute_checksum(path: Path) -> str:
    """The checksum of a file's content."""
    return digest_file(path, hashlib.blake2b(digest_size=16))


def compute_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, as others publish it."""
    return digest_file(path, hashlib.sha256())


def digest_file(path: Path, found: Any) -> str:
    """The digest of a file by a function of hashlib that has read nothing yet."""
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return str(found.hexdigest())


def read_bytes(path: Path) -> bytes:
    """All of a file, inside `reading`. Raises OSError for one that need not end."""
    check_regular(path)
    return path.read_bytes()


def check_regular(path: Path) -> None:
    """Raise OSError for a pipe, whose reader waits for a writer, or a device."""
    mode = path.stat().st_mode
    if not (S_ISREG(mode) or S_ISDIR(mode)):  # a folder fails by itself
        raise OSError("it is not a regular file")


def check_text(path: Path, expected: str) -> None:
    """Raise E163 for a file that is there, and is no text in UTF-8."""
    if path.exists():
        with reading(path, expected):
            path.read_text(encoding="utf8")


def find_damage(path: Path) -> str | None:
    """What is wrong with a file whatever its kind, if anything: lost, empty or a pointer."""
    try:
        mode = path.stat().st_mode
        if not S_ISREG(mode):  # to open a pipe would wait for who writes to it
            return "it is a folder" if S_ISDIR(mode) else "it is not a regular file"
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
    except OSError as error:
        return "it is not there" if isinstance(error, FileNotFoundError) else error.strerror
    if not start:
        return "it is empty"
    return POINTER if start == LFS_POINTER else None


def is_failure(error: BaseException) -> bool:
    """Whether a library has failed at what it was given.

    An interrupt is none, nor a lack of memory. What libraries in Rust raise where they panic is
    one, though no Exception.
    """
    is_panic = type(error).__module__ == "pyo3_runtime"
    return is_panic or isinstance(error, Exception) and not isinstance(error, MemoryError)


def describe(error: BaseException) -> str:
    """An error's message on one line, 200 characters of it; its type where there is none."""
    return " ".join(str(error).split())[:200] or type(error).__name__
