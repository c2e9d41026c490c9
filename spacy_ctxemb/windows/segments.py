"""A long document in segments, so that memory holds the pieces of one of them at a time."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch

from ..pieces.base import Ids, Ints, TextPieces
from .pieces_to_windows import Spans, Windowing, Windows, build_batches, cut


def cut_segments(
    pieces: TextPieces,
    sequence_lengths: Ints,
    boundaries: tuple[Ids, Ids],
    windowing: Windowing,
    n_pieces: int,
    at_once: int = 1,
) -> Iterator[tuple[slice, Windows]]:
    """The windows of one document, as `build_windows` lays them, segment by segment.

    n_pieces: of a segment, or a few more: it ends where both a window and a token do.
    at_once: batches at the same time at most.
    Yields the tokens of each segment, and its windows as those of a document by itself.
    """
    spans = cut(sequence_lengths, windowing)
    bounds = find_bounds(pieces, spans, n_pieces)
    tokens = [0, *np.searchsorted(pieces.starts, bounds[1:-1]).tolist(), len(pieces.starts)]
    windows = [0, *np.searchsorted(spans.first, bounds[1:-1]).tolist(), len(spans.first)]
    places = zip(pairwise(bounds), pairwise(tokens), pairwise(windows), strict=True)
    for (begin, end), of_tokens, of_windows in places:
        some = Spans(*(field[slice(*of_windows)] for field in spans))
        batches, n = build_batches(pieces.ids, some, boundaries, windowing, at_once)
        nothing, size = np.zeros_like(some.sequence), np.array([end - begin])
        arrays = (
            *(pieces.starts[slice(*of_tokens)] - begin, pieces.lengths[slice(*of_tokens)]),
            *(size, size, some.start - begin, some.last - some.first, nothing, nothing),
        )
        moved = [batch._replace(pieces=batch.pieces - begin) for batch in batches]
        yield (
            slice(*of_tokens),
            Windows(moved, n, windowing.batch_pieces, *map(torch.from_numpy, arrays)),
        )


def find_bounds(pieces: TextPieces, spans: Spans, n_pieces: int) -> list[int]:
    """The first piece of each segment, and the one after the last: windows own from there on, and
    no token has pieces on both sides."""
    P = len(pieces.ids)
    inner = np.zeros(P + 2, dtype=np.int64)
    several = pieces.lengths > 1
    np.add.at(inner, pieces.starts[several] + 1, 1)
    np.add.at(inner, pieces.starts[several] + pieces.lengths[several], -1)
    is_free = inner.cumsum() == 0
    bounds = [0]
    for first in spans.first[is_free[spans.first]].tolist():
        if first - bounds[-1] >= n_pieces:
            bounds.append(first)
    return [*bounds, P]
