"""From the pieces of a token to one vector. A token without pieces gets zeros.

The pieces of token w are the rows starts[w] to starts[w] + lengths[w]; tokens may share them.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import Errors

#: pieces (P, D), starts (W,), lengths (W,) -> (W, D)
Pooling = Callable[[Tensor, Tensor, Tensor], Tensor]


def pool_mean(pieces: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    return _reduce(pieces, starts, lengths, mode="mean")


def pool_first(pieces: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    return _take(pieces, lengths, starts)


def pool_last(pieces: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    return _take(pieces, lengths, starts + lengths - 1)


def pool_max(pieces: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    """The largest value of each column among a token's pieces."""
    return _reduce(pieces, starts, lengths, mode="max")


POOLINGS: dict[str, Pooling] = {
    "mean": pool_mean,
    "first": pool_first,
    "last": pool_last,
    "max": pool_max,
}


def get_pooling(name: str) -> Pooling:
    if name not in POOLINGS:
        raise ValueError(Errors.E151.format(name=name, options=list(POOLINGS)))
    return POOLINGS[name]


def _reduce(pieces: Tensor, starts: Tensor, lengths: Tensor, *, mode: str) -> Tensor:
    """Each token's rows made one, without a copy of them."""
    before = lengths.cumsum(0) - lengths
    rows = torch.repeat_interleave(starts - before, lengths)
    rows = rows + torch.arange(len(rows), device=rows.device)
    return F.embedding_bag(rows, pieces, before, mode=mode)


def _take(pieces: Tensor, lengths: Tensor, chosen: Tensor) -> Tensor:
    """The chosen piece of each token that has any. chosen: (W,)"""
    has_pieces = lengths > 0
    out = pieces.new_zeros(len(lengths), pieces.size(1))
    return out.index_copy(0, has_pieces.nonzero().squeeze(1), pieces[chosen[has_pieces]])
