"""From the pieces of a token to one vector. A token without pieces gets zeros."""

from collections.abc import Callable

import torch
from torch import Tensor

from .errors import Errors

#: pieces (P, D), lengths (W,) -> (W, D)
Pooling = Callable[[Tensor, Tensor], Tensor]


def pool_mean(pieces: Tensor, lengths: Tensor) -> Tensor:
    """The mean of a token's pieces."""
    total = pieces.new_zeros(len(lengths), pieces.size(1))
    total = total.index_add(0, _owners(lengths), pieces)
    return total / lengths.clamp(min=1)[:, None]


def pool_first(pieces: Tensor, lengths: Tensor) -> Tensor:
    """The first piece of a token."""
    return _take(pieces, lengths, torch.cumsum(lengths, 0) - lengths)


def pool_last(pieces: Tensor, lengths: Tensor) -> Tensor:
    """The last piece of a token."""
    return _take(pieces, lengths, torch.cumsum(lengths, 0) - 1)


def pool_max(pieces: Tensor, lengths: Tensor) -> Tensor:
    """The largest value of each column among a token's pieces."""
    owners = _owners(lengths)[:, None].expand_as(pieces)
    out = pieces.new_zeros(len(lengths), pieces.size(1))
    return out.scatter_reduce(0, owners, pieces, "amax", include_self=False)


POOLINGS: dict[str, Pooling] = {
    "mean": pool_mean,
    "first": pool_first,
    "last": pool_last,
    "max": pool_max,
}


def get_pooling(name: str) -> Pooling:
    """The pooling of this name."""
    if name not in POOLINGS:
        raise ValueError(Errors.E015.format(name=name, options=list(POOLINGS)))
    return POOLINGS[name]


def _owners(lengths: Tensor) -> Tensor:
    """The token of each piece. (P,)"""
    tokens = torch.arange(len(lengths), device=lengths.device)
    return torch.repeat_interleave(tokens, lengths)


def _take(pieces: Tensor, lengths: Tensor, chosen: Tensor) -> Tensor:
    """The chosen piece of each token that has any. chosen: (W,)"""
    has_pieces = lengths > 0
    out = pieces.new_zeros(len(lengths), pieces.size(1))
    return out.index_copy(0, has_pieces.nonzero().squeeze(1), pieces[chosen[has_pieces]])
