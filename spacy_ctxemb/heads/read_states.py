"""What a head reads of the states of an encoder: all pieces, or something of each window."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def read_pieces(rows: Tensor, states: Sequence[dict[str, Any]]) -> Tensor:
    """The states of pieces. (R, D), of all Docs, to (P, D)"""
    return rows[mark(states, of_piece=True, of_edges=(False, False))]


def read_first(rows: Tensor, states: Sequence[dict[str, Any]]) -> Tensor:
    """The first step of each window. (R, D) to (N, D)"""
    return rows[mark(states, of_piece=False, of_edges=(True, False))]


def mark(
    states: Sequence[dict[str, Any]], *, of_piece: bool, of_edges: tuple[bool, bool]
) -> Tensor:
    """Which of all rows are meant. (R,)"""
    parts = [
        part
        for one in states
        for part in (
            np.full(len(one["offsets"]), of_piece),
            np.tile(of_edges, len(one["owned"])),
        )
    ]
    return torch.from_numpy(np.concatenate(parts))


def read_mean(rows: Tensor, states: Sequence[dict[str, Any]]) -> Tensor:
    """The mean of both edges of each window and of the pieces that it owns. (R, D) to (N, D)"""
    owners, n_windows = [], 0
    for one in states:
        windows = np.arange(len(one["owned"])) + n_windows
        owners += [np.repeat(windows, one["owned"]), np.repeat(windows, 2)]
        n_windows += len(windows)
    return compute_means(rows, np.concatenate(owners), n_windows)


def read_piece_mean(rows: Tensor, states: Sequence[dict[str, Any]]) -> Tensor:
    """The mean of the pieces that each window owns; zeros where there are none. (R, D) to (N, D)"""
    owned = np.concatenate([one["owned"] for one in states])
    owners = np.repeat(np.arange(len(owned)), owned)
    return compute_means(read_pieces(rows, states), owners, len(owned))


def compute_means(rows: Tensor, owners: Any, n: int) -> Tensor:
    """The mean of the rows of each of n owners. (R, D), (R,) to (n, D)"""
    owner = torch.from_numpy(owners).to(rows.device)
    total = rows.new_zeros(n, rows.size(1)).index_add(0, owner, rows)
    return total / torch.bincount(owner, minlength=n).clamp(min=1)[:, None]


#: What a head reads of the states.
READS = {
    "pieces": read_pieces,
    "first": read_first,
    "mean": read_mean,
    "piece_mean": read_piece_mean,
}
