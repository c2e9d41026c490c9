"""Writing files and folders so that nothing is lost, reading lines, checksums.

New content is made in a working folder beside its place, which nobody else may enter and whose
name nobody can guess. When it is whole and safe on the disk, it is renamed. So a reader finds the
old content or the new one, whenever the program stops, and two writers never mix. A working folder
that a killed program has left is removed by the next one that writes there.
"""

import ctypes
import errno
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from .errors import Errors, is_coded

#: How the names of working folders begin.
PREFIX = ".ctxemb-"

#: What a system says of a disk, a quota or a limit that is full.
FULL = [os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]

#: In a working folder: locked as long as its writer lives.
LOCK = f"{PREFIX}lock"

#: In a working folder, on systems that cannot swap two folders: what was there before.
OLD = f"{PREFIX}old"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path of the same name, whose file replaces `path` when all has gone well.

    The file has the permissions of any new file. A link at `path` is replaced, not followed.
    Raises OSError E164 where the file cannot be written.

        with replacing(Path("weights.bin")) as temporary:
            temporary.write_bytes(data)
    """
    with _coding_errors(path):
        if path.exists() and not path.is_file():
            raise OSError("it is there already, and is no ordinary file")
        with _working_beside(path) as temporary:
            yield temporary
            _save(temporary)
            temporary.replace(path)
            _sync(path.parent)


@contextmanager
def replacing_folder(path: Path, *, may_exist: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes `path` when all has gone well.

    may_exist: whether it replaces a folder with content; else `path` is missing or empty. A link
    at `path` is followed. Raises E362 for a folder that may not be replaced, OSError E164 where the
    folder cannot be written.

        with replacing_folder(Path("model"), may_exist=True) as temporary:
            (temporary / "weights.bin").write_bytes(data)
    """
    path = path.resolve()
    with _coding_errors(path), _working_beside(path) as temporary:
        temporary.mkdir()
        yield temporary
        _save(temporary)
        _put_in_place(temporary, path, may_exist=may_exist)
        _sync(path.parent)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file that are not blank, without white space around them."""
    with path.open(encoding="utf8") as lines:
        return [line.strip() for line in lines if not line.isspace()]


def compute_checksum(path: Path) -> str:
    """The checksum of a file's content."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


@contextmanager
def _coding_errors(path: Path) -> Iterator[None]:
    """Give errors of the system a message about `path`; of the same type, as callers expect."""
    try:
        yield
    except Exception as error:
        is_full = any(text in str(error) for text in FULL)  # as other libraries say it
        if is_coded(error) or not (is_full or isinstance(error, OSError)):
            raise
        advice = "Make room there" if is_full else "Check its folder and your permissions"
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        message = Errors.E164.format(
            path=path, reason=reason, advice=f"{advice}, or choose another path."
        )
        coded = type(error)(message) if isinstance(error, OSError) else OSError(message)
        coded.errno = errno.ENOSPC if is_full else getattr(error, "errno", None)
        raise coded from error


@contextmanager
def _working_beside(path: Path) -> Iterator[Path]:
    """A path of the same name in a new working folder, which is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    folder, lock = _make_working_folder(path.parent)
    try:
        yield folder / path.name
    finally:
        with suppress(OSError):
            _remove(folder)
        os.close(lock)


def _make_working_folder(parent: Path) -> tuple[Path, int]:
    """A working folder, and its lock, which is held until it is closed."""
    while True:
        folder = parent / f"{PREFIX}{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:  # another writer has removed the empty folder
            continue
        with suppress(OSError):  # a file system without locks: nothing is cleaned up there
            _lock(lock, waits=True)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)  # another writer has removed it before it was locked


def _remove_leftovers(parent: Path) -> None:
    """Remove working folders whose writer has been killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, a live writer's, or one that has just gone
            if not (folder / LOCK).exists():
                folder.rmdir()  # which only an empty one allows
            lock = os.open(folder / LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                _lock(lock, waits=False)
                for old in folder.glob(f"{OLD}/*"):
                    if not (parent / old.name).exists():
                        old.rename(parent / old.name)
                _remove(folder)
            finally:
                os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a working folder, its lock last, so that whatever is left can be removed later."""
    for path in folder.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _lock(file: int, *, waits: bool) -> None:
    """Lock an open file until it is closed. Raises OSError if that cannot be.

    waits: until another one has closed it.
    """
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise OSError("no locks") from error
    fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))


def _save(path: Path) -> None:
    """Give a file, or all files of a folder, the permissions of new ones, and write them out."""
    mode = (path.parent / LOCK).stat().st_mode & 0o777
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if file.is_file() and not file.is_symlink():
            file.chmod(mode)
        _sync(file)


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder where the system can do that."""
    with suppress(OSError) if path.is_dir() else nullcontext():
        file = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _put_in_place(new: Path, path: Path, *, may_exist: bool) -> None:
    """Rename a folder, to what is missing or an empty folder, or has it change places."""
    while True:
        try:
            if os.name == "nt" and path.exists():
                path.rmdir()
            new.rename(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if not may_exist:
                raise ValueError(Errors.E362.format(path=path)) from error
        if _swap(new, path):
            return
        old = new.parent / OLD
        shutil.rmtree(old, ignore_errors=True)
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
