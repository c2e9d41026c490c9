"""Where a cache keeps its records, bytes by their keys: in memory, or in a directory.

In a directory there are two files, which only grow. `data` has the records end to end, `index` an
entry for each. A record is written before its entry, so that whatever is interrupted leaves bytes
that no entry speaks of, or half an entry; both are overwritten by the next writer. What fails a
checksum is as if it were not there.

Files are read by `read`, not through a map: where somebody cuts a mapped file short, the system
ends the processes that read it.
"""

import os
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from .. import fork_lock
from ..atomic_files import replacing
from ..errors import Errors
from ..read_files import reading
from .file_lock import locking
from .index_entries import ENTRY_BYTES, Place, compute_check, pack_entry, unpack_entries

INDEX, DATA, LOCK = "index", "data", "lock"

#: What both files begin with.
MAGIC = b"ctxemb cache 2\n\0"


class MemoryStore:
    """Records in memory, up to max_bytes.

    n_bytes: how many they took at the last call. failure: why no more can be written, if so.
    """

    n_bytes = 0
    failure: str | None = None

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._records: dict[bytes, bytes] = {}

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of some keys; None where there is none."""
        return [self._records.get(key) for key in keys]

    def forget(self, keys: Sequence[bytes]) -> None:
        """Take the records of some keys for missing, so that others may be written."""
        for key in keys:
            self.n_bytes -= len(self._records.pop(key, b""))

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> int:
        """Keep records by their keys. Returns how many are not kept."""
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


class DiskStore:
    """As MemoryStore, in a directory, which other processes may read and write at the same time.

    Files are open for one call only, so that threads and forked processes share nothing. SQLite
    was measured in its place: it writes and reads records of this size two to four times slower.

    folder: made by the first record. max_bytes: of all records.
    Raises E252 for a directory with files of another kind.

        store = DiskStore(Path("cache"), max_bytes=10**9)
        store.write([(key, vectors.tobytes())])
        [record] = store.read([key])
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.failure: str | None = None
        self._begin(inode=0)

    def _begin(self, *, inode: int) -> None:
        """Begin with another index, or with one that was cut short."""
        self._inode = inode
        self._position = len(MAGIC)  # in the index, after all that was read
        self._places: dict[bytes, Place] = {}
        self.n_bytes = 0

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self._read_index()
        file = self._open(DATA)
        if file is None:
            self._places.clear()
            return [None] * len(keys)
        with file:
            size = count_bytes(file)
            return [self._read_record(file, size, key) for key in keys]

    def _read_record(self, file: BinaryIO, size: int, key: bytes) -> bytes | None:
        """A record; None where there is none. size: how many bytes all records take."""
        place = self._places.get(key)
        if place is None:
            return None
        data = b""
        if place.end <= size:  # else it was cut off, or its entry is made up
            file.seek(len(MAGIC) + place.offset)
            data = file.read(place.length)
        if len(data) != place.length or compute_check(data) != place.check:
            self.forget([key])
            return None
        return data

    def forget(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._places.pop(key, None)

    def _read_index(self) -> None:
        """Take the entries that have come since the last call, of records that are there.

        One thread after another: of the same file, what was read only grows.
        """
        with fork_lock.LOCK:
            file = self._open(INDEX)
            if file is None:
                self._begin(inode=0)
                return
            with file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._position:
                    self._begin(inode=status.st_ino)
                file.seek(self._position)
                entries = file.read()
            if len(entries) < ENTRY_BYTES:
                return
            data = self._open(DATA)  # after the index: records come before their entries
            with data or nullcontext():
                size = count_bytes(data) if data else 0
            for key, place in unpack_entries(entries):
                if place.end <= size:
                    self._places[key] = place
                    self.n_bytes = max(self.n_bytes, place.end)
            self._position += len(entries) // ENTRY_BYTES * ENTRY_BYTES

    def _open(self, name: str) -> BinaryIO | None:
        """Open a file to read; None where it is missing, or too short to have begun.

        Raises E252 for a file of another kind, E163 for one that cannot be read.
        """
        path = self.folder / name
        with reading(path, "a file of a cache"):
            try:
                file = open(path, "rb", opener=open_at_once)
            except (FileNotFoundError, NotADirectoryError):
                return None
            found = file.read(len(MAGIC))
        if found == MAGIC:
            return file
        file.close()
        if not MAGIC.startswith(found):
            raise ValueError(Errors.E252.format(path=self.folder, file=name))
        return None

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> int:
        if self.failure is not None:
            return len(records)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locking(self.folder / LOCK):
                return self._append(records)
        except BlockingIOError:  # others are writing: the next records may have more luck
            return len(records)
        except OSError as error:  # a full disk, a file system without locks, another's directory
            # Without the code of another message.
            self.failure = find_obstacle(self.folder) or str(error.__cause__ or error)
            warnings.warn(Errors.W006.format(path=self.folder, reason=self.failure), stacklevel=2)
            return len(records)

    def _append(self, records: Sequence[tuple[bytes, bytes]]) -> int:
        self._create_files()
        with fork_lock.LOCK:
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
            place = Place(end, len(record), compute_check(record))
            entries.append(pack_entry(key, place))
            data.append(record)
            end = place.end
        if entries:
            write_at(self.folder / DATA, len(MAGIC) + start, b"".join(data))
            write_at(self.folder / INDEX, position, b"".join(entries))
        self._read_index()
        return n_left_out

    def _create_files(self) -> None:
        """Begin files that are missing, or were cut short later."""
        for name in (DATA, INDEX):
            file = self._open(name)
            if file is not None:
                file.close()
                continue
            path = self.folder / name
            if path.is_symlink():  # never ours
                path.unlink()
            with replacing(path) as temporary:
                temporary.write_bytes(MAGIC)


def find_obstacle(folder: Path) -> str | None:
    """What stands in the place of a folder that cannot be made, if anything does."""
    for place in (folder, *folder.parents):
        if place.is_symlink() and not place.exists():
            return f"{place} is a link to {place.readlink()}, which is not there"
        if place.exists() and not place.is_dir():
            return f"{place} is a file, not a folder"
    return None


def open_at_once(path: str, flags: int) -> int:
    """Open a regular file. Of another kind, such as a pipe without a writer, it waits for nothing.

    Raises OSError for those.
    """
    file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError("it is not a regular file")
    return file


def count_bytes(data: BinaryIO) -> int:
    """How many bytes the records in an open file take."""
    return os.fstat(data.fileno()).st_size - len(MAGIC)


def write_at(path: Path, position: int, data: bytes) -> None:
    """Write into a file, over what may stand there."""
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)
