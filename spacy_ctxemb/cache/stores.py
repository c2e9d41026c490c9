"""Where a cache keeps its records, bytes by their keys: in memory, or in a directory.

In a directory there are two files, which only grow. `data` has the records end to end. `index`
has an entry of a fixed size for each: key, place and checksum of the record, and a checksum of
the entry itself. A record is written before its entry, so that whatever is interrupted leaves
bytes that no entry speaks of, or half an entry; both are overwritten by the next writer. What
fails a checksum is as if it were not there.

Files are read by `read`, not through a map: where somebody cuts a mapped file short, the system
ends the processes that read it.
"""

import hashlib
import os
import struct
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..atomic_files import replacing
from ..errors import Errors

INDEX, DATA, LOCK = "index", "data", "lock"

#: What an index begins with.
MAGIC = b"ctxemb cache 1\n\0"

#: Key, offset and length of the record, its checksum.
CONTENT = struct.Struct("<32sQQ16s")
ENTRY_CHECK_BYTES = 8
ENTRY_BYTES = CONTENT.size + ENTRY_CHECK_BYTES

#: How long a writer waits for another one.
LOCK_SECONDS = 5.0


class Store(ABC):
    """Records by key. n_bytes: how many they take."""

    n_bytes: int

    @abstractmethod
    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of some keys; None where there is none."""

    @abstractmethod
    def write(self, records: Sequence[tuple[bytes, bytes]]) -> int:
        """Keep records by their keys. Returns how many have found no room."""


class MemoryStore(Store):
    """Records in memory, up to max_bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._records: dict[bytes, bytes] = {}

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._records.get(key) for key in keys]

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> int:
        n_left_out = 0
        for key, data in records:
            if key in self._records:
                continue
            if self.n_bytes + len(data) > self.max_bytes:
                n_left_out += 1
                continue
            self._records[key] = data
            self.n_bytes += len(data)
        return n_left_out


class Place(NamedTuple):
    """Where a record lies in the file of data."""

    offset: int
    length: int
    check: bytes

    @property
    def end(self) -> int:
        return self.offset + self.length


class DiskStore(Store):
    """Records in a directory, which other processes may read and write at the same time.

    Files are open for one call only, so that threads and forked processes share nothing. SQLite
    was measured in its place: it writes and reads records of this size two to four times slower.

    folder: made by the first record. max_bytes: of the file of data.
    `read` raises E252 for a directory with an index of another kind.

        store = DiskStore(Path("cache"), max_bytes=10**9)
        store.write([(key, vectors.tobytes())])
        [record] = store.read([key])
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.is_writable = True
        self._forget(inode=0)

    def _forget(self, *, inode: int) -> None:
        """Begin with another index, or with one that was cut short."""
        self._inode = inode
        self._position = 0  # in the index, after all that was read
        self._places: dict[bytes, Place] = {}
        self.n_bytes = 0

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self._read_index()
        data = self.folder / DATA
        if not data.exists():
            self._places.clear()
        if not any(key in self._places for key in keys):
            return [None] * len(keys)
        with data.open("rb") as file:
            return [self._read_record(file, key) for key in keys]

    def _read_record(self, file: BinaryIO, key: bytes) -> bytes | None:
        place = self._places.get(key)
        if place is None:
            return None
        file.seek(place.offset)
        data = file.read(place.length)
        if compute_check(data) != place.check:
            self._places.pop(key, None)  # to be written anew
            return None
        return data

    def _read_index(self) -> None:
        """Take the entries that have come since the last call."""
        path = self.folder / INDEX
        if not path.exists():
            self._forget(inode=0)
            return
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._position:
                self._forget(inode=status.st_ino)
            position = self._position  # another thread may be as far
            if position == 0:
                if not self._check_beginning(file.read(len(MAGIC))):
                    return
                position = len(MAGIC)
            file.seek(position)
            entries = file.read() if status.st_size >= position + ENTRY_BYTES else b""
        n_bytes = len(entries) // ENTRY_BYTES * ENTRY_BYTES
        for i in range(0, n_bytes, ENTRY_BYTES):
            self._take_entry(entries[i : i + ENTRY_BYTES])
        self._position = position + n_bytes

    def _check_beginning(self, found: bytes) -> bool:
        """Whether an index begins as it should; one of other contents is refused."""
        if not MAGIC.startswith(found):
            raise ValueError(Errors.E252.format(path=self.folder, file=INDEX))
        return found == MAGIC

    def _take_entry(self, entry: bytes) -> None:
        content, check = entry[: CONTENT.size], entry[CONTENT.size :]
        if compute_check(content)[:ENTRY_CHECK_BYTES] == check:
            key, *place = CONTENT.unpack(content)
            self._places[key] = Place(*place)
            self.n_bytes = max(self.n_bytes, self._places[key].end)

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> int:
        if not self.is_writable:
            return 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locking(self.folder / LOCK):
                return self._append(records)
        except BlockingIOError:  # others are writing: the next records may have more luck
            return 0
        except OSError as error:  # a full disk, a file system without locks, another's directory
            self.is_writable = False
            warnings.warn(Errors.W006.format(path=self.folder, reason=error), stacklevel=2)
            return 0

    def _append(self, records: Sequence[tuple[bytes, bytes]]) -> int:
        self._create_files()
        self._read_index()
        position, start = self._position, self.n_bytes
        data, entries, end = [], [], start
        n_left_out = 0
        for key, record in dict(records).items():
            if key in self._places:
                continue
            if end + len(record) > self.max_bytes:
                n_left_out += 1
                continue
            content = CONTENT.pack(key, end, len(record), compute_check(record))
            entries.append(content + compute_check(content)[:ENTRY_CHECK_BYTES])
            data.append(record)
            end += len(record)
        if entries:
            write_at(self.folder / DATA, start, b"".join(data))
            write_at(self.folder / INDEX, position, b"".join(entries))
        self._read_index()
        return n_left_out

    def _create_files(self) -> None:
        """Files that are there at all are whole, unless they were cut short later."""
        index, data = self.folder / INDEX, self.folder / DATA
        if not index.exists() or index.stat().st_size < len(MAGIC):
            with replacing(index) as temporary:
                temporary.write_bytes(MAGIC)
        if not data.exists():
            with replacing(data) as temporary:
                temporary.touch()


def compute_check(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def write_at(path: Path, position: int, data: bytes) -> None:
    """Write into a file, over what may stand there."""
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


@contextmanager
def locking(path: Path) -> Iterator[None]:
    """Inside, this process and thread are the only ones that hold the lock of this path."""
    try:
        import fcntl
    except ImportError as error:
        raise OSError("this system has no fcntl to lock files with") from error

    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
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
