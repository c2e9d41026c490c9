"""Text in the form that a biLM reads and predicts."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ...objectives.bilm_loss import BEGIN, END, UNKNOWN
from ...objectives.objective import NO_TARGET
from ...pieces.characters import CharacterPieces
from ..text.token_store import TokenStore
from .task import Batch

Ints = NDArray[np.int64]

#: A word of the batch that stands for none.
NOTHING = -1


class BiLMText:
    """A stored text, the characters of its words, and which targets they are.

    Words are types: their number among the distinct words of the store; then come `begin` and
    `end`, the boundaries.

    vocabulary: of the targets, special ones first.
    """

    def __init__(
        self, store: TokenStore, pieces: CharacterPieces, vocabulary: Sequence[str]
    ) -> None:
        self.store = store
        self.begin, self.end = len(store.types), len(store.types) + 1
        self._boundaries = np.stack(pieces.boundaries)  # (2, C)
        ids = {word: i for i, word in enumerate(vocabulary)}
        found = [ids.get(word, ids[UNKNOWN]) for word in store.types]
        self._targets = np.array([*found, ids[BEGIN], ids[END], NO_TARGET], dtype=np.int64)

    def make_batch(self, read: Ints, predicted: Ints) -> Batch:
        """read, predicted: (2, T, B), types of either direction; NOTHING where none is predicted.

        characters: (n, C), of the n distinct words that are read. words: (2, T * B), which of
        these; targets: (2, T * B), NO_TARGET for none; begins: (2, T * B), whether a sentence
        begins. All by time.
        """
        distinct, words = np.unique(read, return_inverse=True)
        targets = self._targets[predicted]
        firsts = np.array([self.begin, self.end])[:, None, None]
        begins = read == firsts
        return {
            "characters": torch.from_numpy(self._spell(distinct)),
            "words": torch.from_numpy(words.reshape(2, -1)),
            "targets": torch.from_numpy(targets.reshape(2, -1)),
            "begins": torch.from_numpy(begins.reshape(2, -1)),
        }

    def _spell(self, types: Ints) -> NDArray[np.int32]:
        """(n,), ascending, to (n, C)."""
        n_words = int(np.searchsorted(types, self.begin))
        words = self.store.type_characters[types[:n_words]]
        return np.concatenate([words, self._boundaries[types[n_words:] - self.begin]]).astype(
            np.int32
        )


def choose_vocabulary(store: TokenStore, *, size: int, min_count: int) -> list[str]:
    """<S>, </S>, <UNK>, then the words of the text by falling frequency, as the sampled softmax
    wants them: `size` entries at most, words seen at least min_count times."""
    special = [BEGIN, END, UNKNOWN]
    n_frequent = int((np.asarray(store.type_counts) >= min_count).sum())
    words = (word for word in store.types[:n_frequent] if word not in special)
    return [*special, *words][:size]
