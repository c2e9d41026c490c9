"""Folders for what is not finished, beside its place.

Nobody else may enter one, and nobody can guess its name, so nothing that is planted there is ever
followed or overwritten. A lock tells whether its writer lives. What a killed writer has left is
removed by the next one that writes there.
"""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: How the names of working folders begin.
PREFIX = ".ctxemb-"

#: The whole name of one; other names are the user's.
NAME = re.compile(re.escape(PREFIX) + "[0-9a-f]{16}")

#: In a working folder: locked as long as its writer lives; with the mode of any new file.
LOCK = f"{PREFIX}lock"

#: In a working folder, on systems that cannot swap two folders: what was there before.
OLD = f"{PREFIX}old"


@contextmanager
def working_beside(path: Path) -> Iterator[Path]:
    """A path of the same name in a new working folder, which is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    folder, lock = make_folder(path.parent)
    try:
        yield folder / path.name
    finally:
        try:
            with suppress(OSError):
                remove(folder)
        finally:
            os.close(lock)


def make_folder(parent: Path) -> tuple[Path, int]:
    """A working folder, and its lock, which is held until it is closed."""
    while True:
        folder = parent / f"{PREFIX}{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:  # another writer has removed the empty folder
            continue
        with suppress(OSError):  # a file system without locks: nothing is cleaned up there
            lock_file(lock, waits=True)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)  # another writer has removed it before it was locked


def remove_leftovers(parent: Path) -> None:
    """Remove working folders whose writer has been killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # a live writer's, or one that has just gone
            if not NAME.fullmatch(folder.name) or not is_own(folder):
                continue
            if not (folder / LOCK).exists():
                folder.rmdir()  # which only an empty one allows
            lock = os.open(folder / LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                lock_file(lock, waits=False)
                remove(folder)
            finally:
                os.close(lock)


def is_own(folder: Path) -> bool:
    """Whether this user has made a folder; others may have put anything into theirs."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and (os.name == "nt" or status.st_uid == os.getuid())


def remove(folder: Path) -> None:
    """Remove a working folder, its lock last, so that whatever is left can be removed later.

    What was set aside goes back first, unless another one has taken its place. Where it cannot go
    back, all stays, and OSError is raised.
    """
    for old in folder.glob(f"{OLD}/*"):
        put_back(old, folder.parent / old.name)
    for path in folder.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def put_back(old: Path, place: Path) -> None:
    """Rename what was set aside to its place, unless something is there that has content."""
    try:
        old.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not any(place.iterdir()):
            raise


def lock_file(file: int, *, waits: bool) -> None:
    """Lock an open file until it is closed. Raises OSError if that cannot be.

    waits: until another one has closed it.
    """
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise OSError("no locks") from error
    fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))


def is_unfinished(path: Path) -> bool:
    """Whether a path is part of a folder that is being written itself, and so needs no more."""
    return any(
        NAME.fullmatch(folder.name) and (folder / LOCK).is_file()
        for folder in (path, *path.parents)
    )
