"""Micro-batches of a biLM: continuous streams of words, read in both directions.

Words are types: their number among the distinct words of the store; then come the boundaries.

Source: bilm-tf's `LMDataset` and `BidirectionalLMDataset`: each row of a batch reads one sentence
after the other from a common shuffled queue, and a sentence that the batch cuts goes on in the
same row of the next. The backward model reads an independently shuffled queue.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ....objectives.base import NO_TARGET
from ....objectives.bilm_loss import BEGIN, END, SPECIAL, UNKNOWN
from ....pieces.base import Ints
from ....pieces.characters import CharacterPieces
from ...text.shuffle import Queue
from ...text.token_store import TokenStore
from ..base import Batch, Stream

#: Predicted where nothing is.
NOTHING = -1

#: The place of each direction where two of them are stacked.
DIRECTIONS = {"forward": 0, "backward": 1}


class BiLMText:
    """Spells the types of a token store, and numbers them as targets.

    vocabulary: of the targets, special ones first.
    """

    def __init__(
        self, store: TokenStore, pieces: CharacterPieces, vocabulary: Sequence[str]
    ) -> None:
        self.store = store
        self._boundaries = np.stack(pieces.boundaries)  # (2, C)
        ids = {word: i for i, word in enumerate(vocabulary)}
        found = [ids.get(word, ids[UNKNOWN]) for word in store.types]
        # By type; then come the two boundaries and, at -1, NOTHING.
        self._targets = np.array([*found, ids[BEGIN], ids[END], NO_TARGET], dtype=np.int64)

    def make_batch(self, read: Ints, predicted: Ints) -> Batch:
        """Make the tensors of what both directions read and predict. (2, T, B) each, in types

        characters: (n, C), of the n distinct words that are read. words: (2, T * B), which of
        these; targets: (2, T * B), NO_TARGET for none; begins: (2, T * B), whether a sentence
        begins. All by time.
        """
        distinct, words = np.unique(read, return_inverse=True)
        begins = read == np.array(get_boundaries(self.store))[:, None, None]
        return {
            "characters": torch.from_numpy(self._spell(distinct)),
            "words": torch.from_numpy(words.reshape(2, -1)),
            "targets": torch.from_numpy(self._targets[predicted].reshape(2, -1)),
            "begins": torch.from_numpy(begins.reshape(2, -1)),
        }

    def _spell(self, types: Ints) -> NDArray[np.int32]:
        """Find the characters of ascending types. (n,) to (n, C)"""
        first_boundary = len(self.store.types)
        n_words = int(np.searchsorted(types, first_boundary))
        words = self.store.type_characters[types[:n_words]]
        boundaries = self._boundaries[types[n_words:] - first_boundary]
        return np.concatenate([words, boundaries]).astype(np.int32)


class BiLMStream(Stream):
    """Reads both directions of one shard."""

    def __init__(self, text: BiLMText, directions: "list[DirectionStream]", n_steps: int) -> None:
        self.text = text
        self.directions = directions
        self.n_steps = n_steps
        self.place = {
            f"{name}.{key}": numbers
            for name, i in DIRECTIONS.items()
            for key, numbers in directions[i].place.items()
        }

    def next_batch(self, step: int) -> Batch:
        steps = [direction.next_steps(self.n_steps) for direction in self.directions]
        read, predicted = (np.stack(types) for types in zip(*steps, strict=True))
        return self.text.make_batch(read, predicted)


class DirectionStream:
    """What n_rows rows of one direction read.

    A unit w1 ... wn is read as <S> w1 ... wn, and what follows is to be predicted: w1 ... wn </S>;
    backward as </S> wn ... w1, and wn ... w1 <S>.
    """

    def __init__(
        self, store: TokenStore, units: "Units", queue: Queue, *, n_rows: int, is_backward: bool
    ) -> None:
        self.store = store
        self.units = units
        self.queue = queue
        self.is_backward = is_backward
        #: The unit that each row reads, -1 for none yet; and how much of it was read.
        self.current = np.full(n_rows, -1, dtype=np.int64)
        self.read = np.zeros(n_rows, dtype=np.int64)

    def next_steps(self, n_steps: int) -> tuple[Ints, Ints]:
        """Return types to read and to predict. (n_steps, n_rows) each"""
        steps = np.empty((2, len(self.current), n_steps), dtype=np.int64)
        for row in range(len(self.current)):
            self._fill(row, steps[:, row])
        read, predicted = steps.transpose(0, 2, 1)
        return read, predicted

    def _fill(self, row: int, steps: Ints) -> None:
        """Write what a row reads and predicts into steps. (2, n_steps)"""
        n_filled = 0
        while n_filled < steps.shape[1]:
            unit, is_backward = int(self.current[row]), self.is_backward
            types = read_unit(self.store, self.units, unit, is_backward=is_backward)
            start = int(self.read[row])
            n = min(len(types) - 1 - start, steps.shape[1] - n_filled)
            if n > 0:
                steps[0, n_filled : n_filled + n] = types[start : start + n]
                steps[1, n_filled : n_filled + n] = types[start + 1 : start + n + 1]
                self.read[row] += n
                n_filled += n
            else:
                self.current[row], self.read[row] = self.queue.take(), 0

    @property
    def place(self) -> dict[str, Ints]:
        """Where the stream is: these arrays change as it is read."""
        return {"position": self.queue.position, "current": self.current, "read": self.read}


class Units(NamedTuple):
    """What stands between two boundaries: a sentence, or several of a document. ends: (U,), the
    piece after each."""

    ends: Ints

    def __len__(self) -> int:
        return len(self.ends)

    def span(self, unit: int) -> slice:
        return slice(int(self.ends[unit - 1]) if unit else 0, int(self.ends[unit]))


def make_units(store: TokenStore, *, max_sentences: int, seed: int) -> Units:
    """Join neighbouring sentences of a document at random, 1 to max_sentences of them."""
    if max_sentences == 1:
        return Units(store.sentence_ends)
    rng = np.random.default_rng(seed)
    n_sentences = len(store.sentence_ends)
    is_last = np.zeros(n_sentences, dtype=bool)
    is_last[np.asarray(store.document_ends) - 1] = True
    sizes = rng.integers(1, max_sentences + 1, size=n_sentences)
    ends = np.cumsum(sizes)
    is_last[ends[ends <= n_sentences] - 1] = True
    return Units(np.asarray(store.sentence_ends)[is_last])


def choose_vocabulary(store: TokenStore, *, size: int, min_count: int) -> list[str]:
    """List <S>, </S>, <UNK>, then the words of the text by falling frequency, as the sampled
    softmax wants them: `size` entries at most, words that occur at least min_count times."""
    n_frequent = int((np.asarray(store.type_counts) >= min_count).sum())
    words = (word for word in store.types[:n_frequent] if word not in SPECIAL)
    return [*SPECIAL, *words][:size]


def get_boundaries(store: TokenStore) -> tuple[int, int]:
    """The types that stand for <S> and </S>: those after the words of the store."""
    return len(store.types), len(store.types) + 1


def read_unit(store: TokenStore, units: Units, unit: int, *, is_backward: bool) -> Ints:
    """Return the types of a unit between boundaries, in the order of reading; none of -1."""
    if unit < 0:
        return np.empty(0, dtype=np.int64)
    begin, end = get_boundaries(store)
    types = np.concatenate([[begin], store.ids[units.span(unit)], [end]])
    return types[::-1] if is_backward else types


def lay_rows(store: TokenStore, rows: Iterable[int], n_rows: int) -> tuple[Ints, Ints]:
    """Lay all sentences of a text in n_rows rows, in order, and return some of these rows.

    Returns types to read and to predict, (2, T, B) each, B the number of `rows`: by direction;
    rows that end earlier predict NOTHING.
    """
    units = Units(store.sentence_ends)
    bounds = np.linspace(0, len(units), n_rows + 1).astype(int)
    chosen = [range(bounds[row], bounds[row + 1]) for row in rows]
    lengths = [sum(len(store.ids[units.span(u)]) + 1 for u in row) for row in chosen]
    begin, _ = get_boundaries(store)
    read = np.full((2, max(lengths, default=0), len(chosen)), begin)
    predicted = np.full_like(read, NOTHING)
    for direction, is_backward in enumerate((False, True)):
        for row, (numbers, n) in enumerate(zip(chosen, lengths, strict=True)):
            types = [read_unit(store, units, u, is_backward=is_backward) for u in numbers]
            if types:
                read[direction, :n, row] = np.concatenate([unit[:-1] for unit in types])
                predicted[direction, :n, row] = np.concatenate([unit[1:] for unit in types])
    return read, predicted
