"""Vectors of words that were met before: the token encoder need not see them again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..fork_lock import LOCK


class WordCache:
    """The vectors of the words used last, by their characters.

    table: (size, width), room for the vectors.
    """

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.places: dict[bytes, int] = {}  # the word used last stands last

    def look_up(
        self, words: Tensor, keys: list[bytes], encode: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Vectors of words, of which the unknown ones are encoded and kept.

        words: (n, C), all different. keys: of each word.
        """
        with self._updating():
            places = [self._touch(key) for key in keys]
            known = [i for i, place in enumerate(places) if place is not None]
            found = self.table[[place for place in places if place is not None]]
        unknown = [i for i, place in enumerate(places) if place is None]
        vectors = self.table.new_empty(len(keys), self.table.size(1))
        vectors[known] = found
        if unknown:
            encoded = encode(words[unknown])
            vectors[unknown] = encoded
            with self._updating():
                self._keep([keys[i] for i in unknown], encoded)
        return vectors

    @contextmanager
    def _updating(self) -> Iterator[None]:
        """Keep other threads out. What is interrupted inside, by Ctrl-C for one, forgets all words:
        some of them might share a row of the table."""
        with LOCK:
            try:
                yield
            except BaseException:
                self.places.clear()
                raise

    def _touch(self, key: bytes) -> int | None:
        """A word's place in the table, now the one used last."""
        place = self.places.pop(key, None)
        if place is not None:
            self.places[key] = place
        return place

    def _keep(self, keys: list[bytes], vectors: Tensor) -> None:
        """Add words, in place of those not used for longest."""
        size = len(self.table)
        keys, vectors = keys[-size:], vectors[-size:]
        places = []
        for key in keys:
            place = self._touch(key)  # another thread may have added it
            if place is None:
                n = len(self.places)
                place = n if n < size else self.places.pop(next(iter(self.places)))
                self.places[key] = place
            places.append(place)
        self.table[places] = vectors


def find_distinct(words: Tensor) -> tuple[Tensor, list[bytes], Tensor]:
    """The distinct rows among words, their keys, and which of them each word is.

    words: (N, C). Returns (n, C), n keys, (N,).
    """
    rows = words.cpu().contiguous().numpy()
    keys = rows.view(f"V{rows.itemsize * rows.shape[1]}").ravel().tolist()
    distinct: dict[bytes, int] = {}
    inverse = [distinct.setdefault(key, len(distinct)) for key in keys]
    firsts = [0] * len(distinct)
    for row, i in reversed(list(enumerate(inverse))):
        firsts[i] = row
    return words[firsts], list(distinct), torch.tensor(inverse, dtype=torch.long)
