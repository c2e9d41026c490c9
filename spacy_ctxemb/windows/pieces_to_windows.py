"""Windows: from the pieces of documents to padded batches, each piece owned by one window."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import Errors
from ..pieces.base import Ids, Ints, TextPieces

#: Pieces put around each window: one before, one after.
N_BOUNDARIES = 2

#: Pieces of each batch at the least where several are computed at the same time.
LEAST_AT_ONCE = 256


@dataclass(frozen=True)
class Windowing:
    """How sequences of pieces are cut into windows and windows grouped into batches.

    window: pieces in a window at most, boundary pieces not counted. 64 to 510.
    stride: pieces from the start of a window to the start of the next at most; smaller strides
        give each piece more context, and cost more. Half of the overlap, window - stride, is
        what a piece sees at least on either side.
    batch_pieces: padded pieces in a batch, which bounds the memory of one pass. 2,048 to 16,384.
    max_padding: largest share of padding in a batch.
    keep_empty: whether a sequence without pieces gets a window, with its boundaries only.
    whole_sequences: whether every sequence is one window, whatever its length.
    split_sentences: whether each sentence of a Doc is a sequence, where they are known.
    Raises E140 for a stride that is not in [1, window], E141 for batches smaller than a window.

        windowing = Windowing(window=510, stride=446, batch_pieces=4096, max_padding=1.0)
        encoded = encode_docs(docs, pieces, split_sentences=windowing.split_sentences)
        windows = encoded.cut(encoded.pieces.ids, pieces.boundaries, windowing)
    """

    window: int
    stride: int
    batch_pieces: int
    max_padding: float
    keep_empty: bool = False
    whole_sequences: bool = False
    split_sentences: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.window:
            raise ValueError(Errors.E140.format(stride=self.stride, window=self.window))
        if self.batch_pieces < self.window + N_BOUNDARIES:
            longest = self.window + N_BOUNDARIES
            raise ValueError(Errors.E141.format(batch_pieces=self.batch_pieces, longest=longest))


class PieceBatch(NamedTuple):
    """A batch of windows of similar length.

    ids: (B, T) or (B, T, C); boundary pieces first and last, padding at the right.
    mask: (B, T), True where a piece is real.
    rows: (p,), which of the N real steps are the pieces that this batch owns.
    pieces: (p,), which of all P pieces they are.
    windows: (B,), which of all windows these are.
    """

    ids: Tensor
    mask: Tensor
    rows: Tensor
    pieces: Tensor
    windows: Tensor

    def to(self, device: torch.device) -> "PieceBatch":
        """With the inputs of the encoder on a device."""
        return self._replace(ids=self.ids.to(device), mask=self.mask.to(device))


class Windows(NamedTuple):
    """All windows of some documents.

    batches: each of the P pieces is owned by exactly one of them.
    at_once: how many of them prediction computes at the same time.
    budget: padded pieces whose activations training keeps; it computes those of others again.
    starts, lengths: (W,), the first piece of each token, and how many it has. Tokens may share
        pieces, and pieces may belong to no token.
    document_lengths: (n,), pieces of each document. sequence_lengths: (S,), of each sequence.
    first_pieces: (N,), the first piece that each window reads. owned: (N,), how many it owns.
    sequences, documents: (N,), where each window lies.
    """

    batches: list[PieceBatch]
    at_once: int
    budget: int
    starts: Tensor
    lengths: Tensor
    document_lengths: Tensor
    sequence_lengths: Tensor
    first_pieces: Tensor
    owned: Tensor
    sequences: Tensor
    documents: Tensor

    @property
    def n_pieces(self) -> int:
        return int(self.document_lengths.sum())


class Spans(NamedTuple):
    """Where windows lie among the P pieces; (B,) each.

    start, end: the pieces a window reads. first, last: those of them that it owns.
    sequence: the sequence it lies in.
    """

    start: Ints
    end: Ints
    first: Ints
    last: Ints
    sequence: Ints


def build_windows(
    pieces: TextPieces,
    sequence_lengths: Ints,
    sequence_documents: Ints,
    boundaries: tuple[Ids, Ids],
    windowing: Windowing,
    at_once: int = 1,
) -> Windows:
    """Cut sequences into windows, and group windows of similar length.

    pieces: those of all documents in order.
    sequence_lengths: pieces of each sequence, which no window reaches beyond; they add up to P.
    sequence_documents: the document that each sequence is of.
    boundaries: the pieces before and after each window.
    at_once: batches that are computed at the same time at most, and share batch_pieces.
    """
    spans = cut(sequence_lengths, windowing)
    batches, at_once = build_batches(pieces.ids, spans, boundaries, windowing, at_once)
    arrays = (
        *(pieces.starts, pieces.lengths, pieces.document_lengths, sequence_lengths),
        *(spans.start, spans.last - spans.first, spans.sequence),
        sequence_documents[spans.sequence],
    )
    return Windows(batches, at_once, windowing.batch_pieces, *map(torch.from_numpy, arrays))


def cut(sequence_lengths: Ints, windowing: Windowing) -> Spans:
    """Lay windows over each sequence. A piece belongs to the window that gives it most context.

    The windows of a long sequence are as few as window and stride allow, of one length, and as
    short as the overlap of window - stride allows. Two overlapping windows share their overlap
    half and half: up to its middle the first one sees more on both sides, after it the second one.
    """
    offsets = np.cumsum(sequence_lengths) - sequence_lengths
    spans: list[tuple[int, int, int, int, int]] = []
    for i, (offset, n) in enumerate(zip(offsets.tolist(), sequence_lengths.tolist(), strict=True)):
        if n == 0 and not windowing.keep_empty:
            continue
        starts, size = lay_windows(n, windowing)
        ends = [start + size for start in starts]
        middles = [(s + e) // 2 for s, e in zip(starts[1:], ends[:-1], strict=True)]
        owned = zip([0, *middles], [*middles, n], strict=True)
        spans.extend(
            (offset + start, offset + end, offset + first, offset + last, i)
            for start, end, (first, last) in zip(starts, ends, owned, strict=True)
        )
    return Spans(*np.array(spans, dtype=np.int64).reshape(-1, 5).T)


def lay_windows(n: int, windowing: Windowing) -> tuple[list[int], int]:
    """Where the windows of a sequence of n pieces start, and how long they are."""
    if windowing.whole_sequences or n <= windowing.window:
        return [0], n
    k = 1 + -((windowing.window - n) // windowing.stride)  # windows, rounded up
    overlap = windowing.window - windowing.stride
    size = -(-(n + (k - 1) * overlap) // k)
    return [i * (n - size) // (k - 1) for i in range(k)], size


def group_spans(sizes: Ints, limit: int, max_padding: float) -> list[Ints]:
    """Group windows, longest first, within a limit of padded pieces and one of padding.

    sizes: of the windows, with their boundaries. (B,)
    """
    groups: list[list[int]] = []
    longest, real = 0, 0
    for i in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[i])
        padded = longest * (len(groups[-1]) + 1) if groups else 0
        if not groups or padded > limit or padded - real - size > max_padding * padded:
            groups.append([])
            longest, real = size, 0
        groups[-1].append(i)
        real += size
    return [np.array(group, dtype=np.int64) for group in groups]


def share_out(sizes: Ints, batch_pieces: int, at_once: int) -> tuple[int, int]:
    """How many batches are computed at the same time, and how many pieces each may have.

    sizes: of the windows, with their boundaries. (B,) Batches at the same time are all of about one
    size, so that none waits for another.
    """
    total, longest = int(sizes.sum()), int(sizes.max(initial=1))
    n = min(at_once, batch_pieces // longest, total // LEAST_AT_ONCE)
    if n < 2:
        return 1, batch_pieces
    most = batch_pieces // n
    n_batches = -(-total // (most * n)) * n
    return n, min(most, max(-(-total // n_batches), longest))


def build_batches(
    ids: Ids, spans: Spans, boundaries: tuple[Ids, Ids], windowing: Windowing, at_once: int
) -> tuple[list[PieceBatch], int]:
    """Batches, and how many of them are computed at the same time."""
    sizes = spans.end - spans.start + N_BOUNDARIES
    at_once, limit = share_out(sizes, windowing.batch_pieces, at_once)
    groups = group_spans(sizes, limit, windowing.max_padding)
    return [build_batch(ids, spans, group, boundaries) for group in groups], at_once


def build_batch(ids: Ids, spans: Spans, group: Ints, boundaries: tuple[Ids, Ids]) -> PieceBatch:
    """Pad one group of windows to its longest."""
    start, sizes = spans.start[group], (spans.end - spans.start)[group]  # (B,)
    B, T = len(group), int(sizes.max()) + N_BOUNDARIES
    row_starts = np.arange(B) * T
    real_starts = np.cumsum(sizes + N_BOUNDARIES) - (sizes + N_BOUNDARIES)  # (B,)
    batch = np.zeros((B * T, *ids.shape[1:]), dtype=ids.dtype)
    batch[ranges(row_starts + 1, sizes)] = ids[ranges(start, sizes)]
    batch[row_starts], batch[row_starts + sizes + 1] = boundaries
    mask = np.arange(T) < (sizes + N_BOUNDARIES)[:, None]  # (B, T)
    first, n_owned = spans.first[group], (spans.last - spans.first)[group]  # (B,)
    return PieceBatch(
        ids=torch.from_numpy(batch.reshape(B, T, *ids.shape[1:])),
        mask=torch.from_numpy(mask),
        rows=torch.from_numpy(ranges(real_starts + 1 + first - start, n_owned)),
        pieces=torch.from_numpy(ranges(first, n_owned)),
        windows=torch.from_numpy(group),
    )


def ranges(starts: Ints, sizes: Ints) -> Ints:
    """start, start + 1, ... start + size - 1 of each range, one after the other."""
    ends = np.cumsum(sizes)
    within: Ints = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
    return np.repeat(starts, sizes) + within


def check_length(window: int, max_length: int | None) -> None:
    """Raise E142 for a window that does not fit into an encoder with its boundary pieces."""
    if max_length is not None and window + N_BOUNDARIES > max_length:
        found = {"window": window, "boundaries": N_BOUNDARIES, "max_length": max_length}
        raise ValueError(Errors.E142.format(**found))
