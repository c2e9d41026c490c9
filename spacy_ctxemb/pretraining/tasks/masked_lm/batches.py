"""Micro-batches of masked language modelling from a token store."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ....objectives.base import NO_TARGET
from ....objectives.masking import Masking
from ....pieces.base import Ids, Ints
from ...text.token_store import TokenStore
from ..base import Batch
from ..shuffled_task import pad
from .examples import Example, Examples


class MaskedLMText:
    """Reads examples of a stored text, and hides pieces in them.

    boundaries: the piece before the first text, and the one after each.
    """

    def __init__(
        self, store: TokenStore, examples: Examples, masking: Masking, boundaries: tuple[Ids, Ids]
    ) -> None:
        self.store = store
        self.examples = examples
        self.masking = masking
        self.begin, self.end = (boundary.reshape(1) for boundary in boundaries)

    def __len__(self) -> int:
        return len(self.examples)

    def make_batch(self, chosen: Sequence[int], rng: np.random.Generator) -> Batch:
        """Read some examples, the longest first.

        ids, targets: (B, T), what is read and what is to be predicted. mask: (B, T). With pairs
        also segments: (B, T), 1 in a second text; is_next: (B,).
        """
        examples = [self.examples.read(i, rng) for i in chosen]
        examples.sort(key=lambda example: sum(start - end for start, end in example.spans))
        rows = [self._lay_out(example) for example in examples]
        lengths = np.array([len(ids) for ids, _, _ in rows])
        ids, starts, segments = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        first = np.flatnonzero(starts)  # of each word
        n_pieces = np.diff(first, append=len(ids))
        masked, targets = self.masking(ids, first, n_pieces, rng)
        mask = np.arange(lengths.max()) < lengths[:, None]
        batch = {
            "ids": pad(masked, mask, 0),
            "targets": pad(targets, mask, NO_TARGET),
            "mask": torch.from_numpy(mask),
        }
        if examples[0].is_next is not None:
            batch["segments"] = pad(segments, mask, 0)
            batch["is_next"] = torch.tensor([bool(example.is_next) for example in examples])
        return batch

    def _lay_out(self, example: Example) -> tuple[Ids, NDArray[np.bool_], Ints]:
        """Return the pieces of an example between boundaries, whether each begins a word, and
        segments."""
        ids, starts, segments = [self.begin], [np.ones(1, dtype=np.bool_)], [np.zeros(1, np.int64)]
        for segment, (start, end) in enumerate(example.spans):
            ids += [self.store.ids[start:end], self.end]
            word_starts = np.append(self.store.word_starts[start:end], True)
            word_starts[0] = True  # also where a word is cut
            starts.append(word_starts)
            segments.append(np.full(end - start + 1, segment))
        return np.concatenate(ids), np.concatenate(starts), np.concatenate(segments)
