"""Writing files and folders so that nothing is lost.

New content is made in a working folder beside its place. When it is whole and safe on the disk, it
is renamed. So a reader finds the old content or the new one, whenever the program stops, and two
writers never mix.
"""

import ctypes
import errno
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Errors, is_coded
from .temporary_folders import LOCK, NAME, OLD, is_unfinished, working_beside

if TYPE_CHECKING:
    from torch import Tensor

#: What a system says of a disk, a quota or a limit that is full.
FULL = [os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path of the same name, whose file replaces `path` when all has gone well.

    The file has the permissions of the one before it, or of any new file. Raises OSError E164 where
    it cannot be written.

        with replacing(Path("weights.bin")) as temporary:
            temporary.write_bytes(data)
    """
    if is_unfinished(path):
        yield path
        return
    with writing(path):
        place = _follow(path)
        if place.exists() and not place.is_file():
            raise OSError("it is there already, and is no ordinary file")
        with working_beside(place) as temporary:
            yield temporary
            _save(temporary, place)
            temporary.replace(place)
            _sync(place.parent)


@contextmanager
def replacing_folder(path: Path, *, may_exist: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes `path` when all has gone well.

    may_exist: whether it replaces a folder with content; else `path` is missing or empty.
    The folder, and files that have been in it before, keep their permissions. Raises E362 for a
    folder that may not be replaced, E166 for one that a program works in, OSError E164 where it
    cannot be written.

        with replacing_folder(Path("model"), may_exist=True) as temporary:
            (temporary / "weights.bin").write_bytes(data)
    """
    if is_unfinished(path):
        path.mkdir(parents=True, exist_ok=may_exist)
        yield path
        return
    with writing(path):
        refuse_working_directory(path)
        place = _follow(path)
        with working_beside(place) as temporary:
            temporary.mkdir()
            yield temporary
            _save(temporary, place)
            _put_in_place(temporary, place, may_exist=may_exist)
            _sync(place.parent)


def refuse_working_directory(path: Path) -> None:
    """Raise E166 for a folder that cannot be replaced, since this program works in it."""
    with suppress(FileNotFoundError):  # the directory is gone already
        directory = Path.cwd()
        if path.is_dir() and Path(os.path.realpath(directory)).is_relative_to(
            os.path.realpath(path)
        ):
            raise ValueError(Errors.E166.format(path=path, directory=directory))


def is_working_folder(path: Path) -> bool:
    """Whether a path has the name of a folder for what is not finished, as a kill leaves one."""
    return NAME.fullmatch(path.name) is not None


def write_json(data: object, path: Path) -> None:
    """Write a JSON file whole or not at all. Raises E164."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf8")


def write_tensors(tensors: "dict[str, Tensor]", path: Path) -> None:
    """Write a file of safetensors whole or not at all. Raises E164."""
    import safetensors.torch

    with replacing(path) as temporary:
        try:
            safetensors.torch.save_file(tensors, temporary)
        except safetensors.SafetensorError as error:  # has the system's error as text alone
            raise OSError(str(error)) from error


def _follow(path: Path) -> Path:
    """The place to write to: where a link points, unless another user has made the link."""
    is_trusted = os.name == "nt" or not path.is_symlink()
    is_trusted = is_trusted or path.lstat().st_uid in (0, os.getuid())
    return path.resolve() if is_trusted else path.absolute()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Give errors of the system a message about `path`; of the same type, as callers expect.

    Errors about other files, which name these, stay as they are.
    """
    try:
        yield
    except Exception as error:
        is_full = any(text in str(error) for text in FULL)  # as other libraries say it
        if is_coded(error) or not (is_full or isinstance(error, OSError)):
            raise
        if _names_another(error, path):
            raise
        advice = "Make room there" if is_full else "Check its folder and your permissions"
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        message = Errors.E164.format(
            path=path, reason=reason, advice=f"{advice}, or choose another path."
        )
        coded = _make_alike(error, message)
        coded.errno = errno.ENOSPC if is_full else getattr(error, "errno", None)
        raise coded from error


def _names_another(error: Exception, path: Path) -> bool:
    """Whether an error names a file that is not at `path`, on the way there, or unfinished."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str | bytes | os.PathLike):
        return False
    named = Path(os.path.abspath(os.fsdecode(name)))
    places = Path(os.path.abspath(path)), Path(os.path.realpath(path))
    is_ours = any(place.is_relative_to(named) or named.is_relative_to(place) for place in places)
    return not is_ours and not any(NAME.fullmatch(part) for part in named.parts)


def _make_alike(error: Exception, message: str) -> OSError:
    """An error of the same type; an OSError where that takes other arguments, or is none."""
    if isinstance(error, OSError):
        with suppress(Exception):
            coded = type(error)(message)
            if str(coded) == message:
                return coded
    return OSError(message)


def _save(path: Path, place: Path) -> None:
    """Give a file or a folder its permissions, and write it out.

    They are those that the same file has had at its place. A new one in a folder that others may
    not enter is closed to them too; else it is as any new one.
    """
    usual = stat.S_IMODE((path.parent / LOCK).stat().st_mode) & 0o777
    closed = 0o077 & ~(place.lstat().st_mode if place.is_dir() else 0o777)
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if not file.is_symlink():
            file.chmod(_choose_mode(file, place / file.relative_to(path), usual) & ~closed)
        _sync(file)


def _choose_mode(file: Path, before: Path, usual: int) -> int:
    """The permissions of a file or folder. before: its place. usual: those of any new file."""
    is_folder = file.is_dir()
    try:
        status = before.lstat()
    except OSError:
        status = None
    if status is None or stat.S_ISDIR(status.st_mode) != is_folder or before.is_symlink():
        return stat.S_IMODE(file.stat().st_mode) if is_folder else usual
    return stat.S_IMODE(status.st_mode) | (0o700 if is_folder else 0o400)  # to rename, to read


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder where the system can do that."""
    with suppress(OSError) if path.is_dir() else nullcontext():
        file = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _put_in_place(new: Path, path: Path, *, may_exist: bool) -> None:
    """Rename a folder, to what is missing or an empty folder, or has it change places.

    If it stops halfway, what was set aside goes back as its working folder is removed.
    """
    old = new.parent / OLD
    while True:
        try:
            if os.name == "nt" and path.exists():
                path.rmdir()
            new.rename(path)
            shutil.rmtree(old, ignore_errors=True)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if not may_exist:
                raise ValueError(Errors.E362.format(path=path)) from error
        if _swap(new, path):
            return
        shutil.rmtree(old, ignore_errors=True)  # another writer has taken its place since
        old.mkdir()
        with suppress(FileNotFoundError):  # another writer was faster
            path.rename(old / path.name)


def _swap(one: Path, other: Path) -> bool:
    """Let two folders change places in one step. Returns whether the system could do that."""
    if sys.platform != "linux":
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(one), os.fsencode(other)
    return rename is not None and rename(here, names[0], here, names[1], exchange) == 0
