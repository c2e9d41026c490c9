"""The texts of an index, each under the key of its vector."""

import sqlite3
import weakref
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ..bulk.levels import Stretch

CREATE = """
CREATE TABLE passages (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL, text TEXT NOT NULL,
    start INTEGER NOT NULL, stop INTEGER NOT NULL, label TEXT NOT NULL
);
CREATE INDEX ids ON passages (id);
"""


class Passage(NamedTuple):
    """A stretch of a text: its id; characters there. key: of its vector."""

    key: int
    id: str
    text: str
    start: int
    end: int
    label: str


class StoredPassages:
    """A table in memory, whose file is one of SQLite."""

    file = "passages.sqlite"

    def __init__(self) -> None:
        self.table = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self.table.close)
        self.table.executescript(CREATE)

    def __contains__(self, id: str) -> bool:
        found = self.table.execute("SELECT 1 FROM passages WHERE id = ? LIMIT 1", (id,))
        return found.fetchone() is not None

    def add(self, keys: Iterable[int], ids: Sequence[str], stretches: Sequence[Stretch]) -> None:
        rows = ((k, id, *x) for k, id, x in zip(keys, ids, stretches, strict=True))
        with self.table:
            self.table.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)", rows)

    def remove(self, keys: Iterable[int]) -> None:
        with self.table:
            rows = ((key,) for key in keys)
            self.table.executemany("DELETE FROM passages WHERE key = ?", rows)

    def get(self, key: int) -> Passage:
        row = self.table.execute("SELECT * FROM passages WHERE key = ?", (key,)).fetchone()
        return Passage(*row)

    def find_keys(self, id: str) -> list[int]:
        """The keys of all passages of a text."""
        rows = self.table.execute("SELECT key FROM passages WHERE id = ? ORDER BY key", (id,))
        return [key for (key,) in rows]

    def find_last_key(self) -> int:
        """The largest key; -1 if there is none."""
        (key,) = self.table.execute("SELECT max(key) FROM passages").fetchone()
        return -1 if key is None else int(key)

    def find_neighbours(self, passage: Passage, n: int) -> list[Passage]:
        """Up to n passages before one in its text, itself, and up to n that follow."""
        rows = self.table.execute(
            "SELECT * FROM passages WHERE id = ? AND key BETWEEN ? AND ? ORDER BY key",
            (passage.id, passage.key - n, passage.key + n),
        )
        return [Passage(*row) for row in rows]

    def write(self, path: Path) -> None:
        """Raises OSError where there is no room, as other files do."""
        target = sqlite3.connect(path)
        try:
            self.table.backup(target)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error
        finally:
            target.close()

    def load(self, path: Path) -> int:
        """Read a file, and count its passages."""
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source:
            source.backup(self.table)
        return int(self.table.execute("SELECT count(*) FROM passages").fetchone()[0])
