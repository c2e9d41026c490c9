"""Micro-batches of texts as two encoders read them: the pupil and its teacher."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....embedder.token_pooling import pool_mean
from ....objectives.base import NO_TARGET
from ....objectives.masking import Masking
from ....pieces.base import Ids, Ints, Pieces
from ...text.token_store import TokenStore
from ..base import Batch
from ..shuffled_task import pad
from .cut_texts import PUPIL, TEACHER, cut_texts

#: The two sides of a batch, by the beginning of their tensors' names.
SIDES = {"pupil": PUPIL, "teacher": TEACHER}


class Reading(NamedTuple):
    """What one encoder reads of B texts.

    ids: (B, T) or (B, T, C), boundaries included. mask: (B, T).
    pieces: (P,), which of the N real steps are no boundaries. starts, lengths: (W,), the first of
        these P pieces of each word, and how many it has.
    """

    ids: Tensor
    mask: Tensor
    pieces: Tensor
    starts: Tensor
    lengths: Tensor

    def pool_words(self, vectors: Tensor) -> Tensor:
        """Compute the mean of each word's pieces, in fp32. (P, D) to (W, D)"""
        return pool_mean(vectors.float(), self.starts, self.lengths)


class Rows(NamedTuple):
    """Texts laid end to end, each between boundaries.

    ids: (N,) or (N, C). sizes: (B,), steps of each. word_starts: (N,), whether a step begins a
        word; a boundary does. is_piece: (N,), whether it is no boundary.
    """

    ids: Ids
    sizes: Ints
    word_starts: NDArray[np.bool_]
    is_piece: NDArray[np.bool_]


class Side:
    """The stored text in the pieces of one encoder."""

    def __init__(self, store: TokenStore, pieces: Pieces) -> None:
        self.store = store
        self.boundaries = [boundary[None] for boundary in pieces.boundaries]
        self.has_types = pieces.n_characters is not None

    def lay_out(self, bounds: Ints) -> Rows:
        """Lay out texts. bounds: (B, 2), the first piece of each and the one after its last."""
        begin, end = self.boundaries
        boundary = np.ones(1, dtype=np.bool_)
        ids, word_starts = [], []
        for first, last in bounds.tolist():
            found = self.store.ids[first:last]
            found = self.store.type_characters[found].astype(np.int32) if self.has_types else found
            ids += [begin, found, end]
            word_starts += [boundary, self.store.word_starts[first:last], boundary]
        sizes = bounds[:, 1] - bounds[:, 0] + len(self.boundaries)
        is_piece = np.ones(int(sizes.sum()), dtype=np.bool_)
        ends = np.cumsum(sizes)
        is_piece[ends - 1] = is_piece[ends - sizes] = False
        return Rows(np.concatenate(ids), sizes, np.concatenate(word_starts), is_piece)


class DistilText:
    """Reads texts of a corpus that is stored in the pieces of pupil and teacher.

    max_pieces: of a text, for each of both. masking: hides pieces of the pupil; None for none.
    masked_texts: in which share of the texts it does. numbers_words: whether batches tell which
        words are the same.

    Raises E417 if the stores have other words.
    """

    def __init__(
        self,
        pupil: Side,
        teacher: Side,
        *,
        max_pieces: tuple[int, int],
        masking: Masking | None,
        masked_texts: float,
        numbers_words: bool,
    ) -> None:
        self.sides = [pupil, teacher]
        sizes = [n - len(side.boundaries) for n, side in zip(max_pieces, self.sides, strict=True)]
        self.bounds = cut_texts([side.store for side in self.sides], sizes)  # (n, 2, 2)
        self.masking = masking
        self.masked_texts = masked_texts
        self.numbers_words = numbers_words

    def __len__(self) -> int:
        return len(self.bounds)

    def make_batch(self, chosen: Sequence[int], rng: np.random.Generator) -> Batch:
        """Read some texts, the longest first.

        The tensors of a Reading for each of SIDES, with its name before theirs. n_words: (B,), of
        each text. With numbers_words numbers: (W,), equal for words of the same pieces of the
        pupil. With masking also masked_ids, masked_targets, masked_mask: (b, T), of some.
        """
        bounds = self.bounds[np.array(chosen)]  # (B, 2, 2)
        lengths = bounds[:, PUPIL, 1] - bounds[:, PUPIL, 0]
        bounds = bounds[np.argsort(-lengths, kind="stable")]
        batch: Batch = {}
        for name, i in SIDES.items():
            rows = self.sides[i].lay_out(bounds[:, i])
            tensors = make_reading(rows)._asdict()
            batch |= {f"{name}_{key}": tensor for key, tensor in tensors.items()}
            n_words = count_words(rows)
            if i == PUPIL and self.numbers_words:
                batch["numbers"] = torch.tensor(number_words(rows))
        batch["n_words"] = torch.from_numpy(n_words)
        if self.masking is not None:
            batch |= self._hide(bounds[:, PUPIL], self.masking, rng)
        return batch

    def _hide(self, bounds: Ints, masking: Masking, rng: np.random.Generator) -> Batch:
        """Hide pieces in some of the texts. bounds: (B, 2)"""
        n = max(round(self.masked_texts * len(bounds)), 1)
        chosen = np.sort(rng.permutation(len(bounds))[:n])  # still the longest first
        rows = self.sides[PUPIL].lay_out(bounds[chosen])
        first = np.flatnonzero(rows.word_starts)
        masked, targets = masking(rows.ids, first, np.diff(first, append=len(rows.ids)), rng)
        mask = find_mask(rows.sizes)
        return {
            "masked_ids": pad(masked, mask, 0),
            "masked_targets": pad(targets, mask, NO_TARGET),
            "masked_mask": torch.from_numpy(mask),
        }


def get_reading(batch: Batch, side: str) -> Reading:
    return Reading(*(batch[f"{side}_{name}"] for name in Reading._fields))


def make_reading(rows: Rows) -> Reading:
    mask = find_mask(rows.sizes)
    word_starts = rows.word_starts[rows.is_piece]  # (P,)
    first = np.flatnonzero(word_starts)
    return Reading(
        pad(rows.ids, mask, 0),
        torch.from_numpy(mask),
        torch.from_numpy(np.flatnonzero(rows.is_piece)),
        torch.from_numpy(first),
        torch.from_numpy(np.diff(first, append=len(word_starts))),
    )


def find_mask(sizes: Ints) -> NDArray[np.bool_]:
    """Tell which steps are real. (B,) to (B, T)"""
    found: NDArray[np.bool_] = np.arange(sizes.max()) < sizes[:, None]
    return found


def number_words(rows: Rows) -> list[int]:
    """Give each word a number, and words of the same pieces the same one."""
    begins = np.flatnonzero(rows.word_starts[rows.is_piece])[1:]
    numbers: dict[bytes, int] = {}
    words = np.split(rows.ids[rows.is_piece], begins)
    return [numbers.setdefault(word.tobytes(), len(numbers)) for word in words]


def count_words(rows: Rows) -> Ints:
    """Count the words of each text. (B,)"""
    begins = rows.word_starts & rows.is_piece
    return np.add.reduceat(begins, np.cumsum(rows.sizes) - rows.sizes, dtype=np.int64)
