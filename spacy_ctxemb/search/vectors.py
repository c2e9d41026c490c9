"""Vectors under keys, and those that are nearest to others by their cosine.

`ExactVectors` compares all of them, which is right for small collections. `GraphVectors` has a
graph of neighbours, which finds almost the same in a small share of the time, and takes long to
build. Source of the graph: Malkov and Yashunin 2018, "Efficient and robust approximate nearest
neighbor search using Hierarchical Navigable Small World graphs"; it is usearch's.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors

Keys = NDArray[np.int64]
Floats = NDArray[np.float32]

#: How vectors are stored, and how usearch names these numbers.
DTYPES = {"float32": "f32", "float16": "f16", "int8": "i8"}

#: Rows that are compared at a time, and with how many queries.
BLOCK, QUERIES = 8192, 256

#: The largest number of an int8; vectors have the length 1.
LARGEST = 127.0


class Nearest(NamedTuple):
    """For each query the keys and the cosines of the nearest vectors, the nearest one first."""

    keys: list[Keys]
    scores: list[Floats]


class ExactVectors:
    """All vectors in one matrix, which queries are multiplied with."""

    file = "vectors.npz"

    def __init__(self, width: int, dtype: str) -> None:
        self.dtype = dtype
        self.keys: Keys = np.zeros(0, dtype=np.int64)
        self.rows: NDArray[Any] = np.zeros((0, width), dtype=dtype)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, keys: Keys, rows: Floats) -> None:
        """Add vectors of length 1 under keys that are larger than all before."""
        stored = np.rint(rows * LARGEST) if self.dtype == "int8" else rows
        self.keys = np.concatenate([self.keys, keys])
        self.rows = np.concatenate([self.rows, stored.astype(self.rows.dtype)])

    def remove(self, keys: Keys) -> None:
        kept = ~np.isin(self.keys, keys)
        self.keys, self.rows = self.keys[kept], self.rows[kept]

    def search(self, queries: Floats, n: int) -> Nearest:
        """The n nearest of each query; of those as near the ones that were added first."""
        blocks = range(0, len(self), BLOCK)
        found = Nearest([], [])
        for start in range(0, len(queries), QUERIES):
            some = queries[start : start + QUERIES]
            parts = [some @ self.read(block, block + BLOCK).T for block in blocks]
            for scores in np.concatenate(parts, axis=1):
                best = find_largest(scores, n)
                found.keys.append(self.keys[best])
                found.scores.append(scores[best])
        return found

    def read(self, start: int, stop: int) -> Floats:
        """Some rows with the length 1 again."""
        rows = self.rows[start:stop].astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, keys=self.keys, rows=self.rows)

    def load(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as stored:
            self.keys, self.rows = stored["keys"], stored["rows"]
        if self.rows.dtype != self.dtype or len(self.keys) != len(self.rows):
            raise ValueError(f"its vectors are {self.rows.dtype}, not {self.dtype}")


def find_largest(scores: Floats, n: int) -> NDArray[np.intp]:
    """The places of the n largest values, the largest first; of equal ones the first."""
    if n < len(scores):
        places = np.flatnonzero(scores >= np.partition(scores, -n)[-n])
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")[:n]]


class GraphVectors:
    """A graph of vectors, each with links to near ones."""

    file = "graph.usearch"

    def __init__(self, width: int, dtype: str) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            values = {"what": "An index of many passages", "package": "usearch"}
            raise ImportError(Errors.E708.format(**values, extra="search")) from error
        self.dtype = dtype
        self.graph = Index(ndim=width, metric="cos", dtype=DTYPES[dtype])

    def __len__(self) -> int:
        return len(self.graph)

    def add(self, keys: Keys, rows: Floats) -> None:
        self.graph.add(keys.astype(np.uint64), rows)

    def remove(self, keys: Keys) -> None:
        self.graph.remove(keys.astype(np.uint64))

    def search(self, queries: Floats, n: int) -> Nearest:
        """About the n nearest of each query."""
        keys, scores = [], []
        for query in queries:
            found = self.graph.search(query, n)
            order = np.lexsort((found.keys, found.distances))
            keys.append(found.keys[order].astype(np.int64))
            scores.append(np.asarray(1.0 - found.distances[order], dtype=np.float32))
        return Nearest(keys, scores)

    def write(self, path: Path) -> None:
        """Raises OSError where there is no room, as other files do."""
        try:
            self.graph.save(path)
        except RuntimeError as error:
            raise OSError(str(error)) from error

    def load(self, path: Path) -> None:
        self.graph.load(path)
        if self.graph.dtype.name.lower() != DTYPES[self.dtype]:
            raise ValueError(f"its vectors are {self.graph.dtype.name}, not {self.dtype}")


@cache
def has_usearch() -> bool:
    """Whether graphs can be built. Warns with W016, once, where they cannot."""
    try:
        import usearch.index  # noqa: F401 (whether it is there)
    except ImportError:
        warn(Errors.W016, stacklevel=2)
        return False
    return True


def to_graph(vectors: ExactVectors) -> GraphVectors:
    """The same vectors in a graph."""
    graph = GraphVectors(vectors.rows.shape[1], vectors.dtype)
    for start in range(0, len(vectors), BLOCK):
        graph.add(vectors.keys[start : start + BLOCK], vectors.read(start, start + BLOCK))
    return graph
