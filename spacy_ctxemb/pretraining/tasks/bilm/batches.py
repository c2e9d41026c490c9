"""Micro-batches of a biLM from a token store."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ....objectives.base import NO_TARGET
from ....objectives.bilm_loss import BEGIN, END, SPECIAL, UNKNOWN
from ....pieces.base import Ints
from ....pieces.characters import CharacterPieces
from ...text.token_store import TokenStore
from ..base import Batch, Stream
from .continuous_streams import DirectionStream, get_boundaries

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
        # By type; then come the two boundaries and, at -1, word_streams.NOTHING.
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

    def __init__(self, text: BiLMText, directions: list[DirectionStream], n_steps: int) -> None:
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


def choose_vocabulary(store: TokenStore, *, size: int, min_count: int) -> list[str]:
    """List <S>, </S>, <UNK>, then the words of the text by falling frequency, as the sampled
    softmax wants them: `size` entries at most, words that occur at least min_count times."""
    n_frequent = int((np.asarray(store.type_counts) >= min_count).sum())
    words = (word for word in store.types[:n_frequent] if word not in SPECIAL)
    return [*SPECIAL, *words][:size]
