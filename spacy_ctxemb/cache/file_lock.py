"""A lock between processes, and between threads of one."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: How long a writer waits for another one.
LOCK_SECONDS = 5.0


@contextmanager
def locking(path: Path) -> Iterator[None]:
    """Inside, this process and thread are the only ones that hold the lock of this path.

    Raises BlockingIOError if another one holds it too long, OSError where there are no locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError("this system has no fcntl to lock files with") from error

    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    deadline = time.monotonic() + LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield
    finally:
        # Closing is not enough: a process that was forked meanwhile holds the lock as well.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)
