"""Reading files that may be lost, cut short or of another kind, with a message that says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Errors, is_coded

if TYPE_CHECKING:
    from torch import Tensor

#: How a file begins that Git LFS puts in the place of another.
LFS_POINTER = b"version https://git-lfs"


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever fails inside into a message about a file. Coded errors stay as they are.

    expected: what the file should be. Raises E163.

        with reading(path, "a vocabulary in JSON"):
            data = json.loads(path.read_text(encoding="utf8"))
    """
    try:
        yield
    except Exception as error:  # parsers of damaged files fail in any way
        if is_coded(error):
            raise
        reason = find_damage(path) or shorten(error)
        advice = "Put a whole copy in its place, or write it again."
        if begins_like_pointer(path):
            advice = "Run `git lfs pull` in its repository, or copy the file itself."
        raise ValueError(
            Errors.E163.format(path=path, expected=expected, reason=reason, advice=advice)
        ) from error


def read_tensors(path: Path, expected: str) -> "dict[str, Tensor]":
    """The tensors of a safetensors file, mapped from it. Raises E163; see `reading`."""
    from safetensors.torch import load_file

    with reading(path, expected):
        tensors: dict[str, Tensor] = load_file(path)
    return tensors


def find_damage(path: Path) -> str | None:
    """What is wrong with a file whatever its kind, if anything: lost, empty or a pointer."""
    if path.is_dir():
        return "it is a folder"
    if not path.exists():
        return "it is not there"
    if path.is_file() and path.stat().st_size == 0:
        return "it is empty"
    if begins_like_pointer(path):
        return "it is a pointer of Git LFS, not the file itself"
    return None


def begins_like_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS puts in the place of another."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def shorten(error: Exception) -> str:
    """The first line of an error's message, 200 characters of it; its type where there is none."""
    return str(error).split("\n")[0][:200] or type(error).__name__
