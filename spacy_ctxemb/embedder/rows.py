"""Rows of pieces and windows: taken from layers, put in order, and read."""

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from ..windows.pieces_to_windows import Windows


def find_edges(layers: Tensor, windows: Windows) -> Tensor:
    """The first step of the first window, and the last one of the last window, of each sequence.

    layers: (L, P + 2 N, D). Returns (L, S, 2, D).
    """
    ends = layers[:, windows.n_pieces :].unflatten(1, (-1, 2))  # (L, N, 2, D)
    n_windows = torch.bincount(windows.sequences)
    n_windows = n_windows[n_windows > 0].to(layers.device)  # (S,)
    last = n_windows.cumsum(0) - 1
    return torch.stack([ends[:, last - n_windows + 1, 0], ends[:, last, 1]], dim=2)


def take_rows(layers: list[Tensor], rows: Tensor, dtype: torch.dtype) -> Tensor:
    """The rows of all layers, which are given up. (N, D) each; (p,). Returns (l, p, D)."""
    if torch.is_grad_enabled():
        return torch.stack([layer[rows].to(dtype) for layer in layers])
    # Layers are large: none is held longer than needed, nor copied twice.
    out = layers[0].new_empty(len(layers), len(rows), layers[0].size(1), dtype=dtype)
    for taken in reversed(out.unbind()):
        layer = layers.pop()
        if layer.dtype == dtype:
            torch.index_select(layer, 0, rows, out=taken)
        else:
            taken.copy_(layer[rows])
    return out


def list_places(windows: Windows) -> list[Tensor]:
    """Where the rows of each batch belong: (p + 2 B,), of its pieces and of its windows' ends."""
    firsts = [windows.n_pieces + 2 * batch.windows for batch in windows.batches]
    return [
        torch.cat([batch.pieces, first, first + 1])
        for batch, first in zip(windows.batches, firsts, strict=True)
    ]


def in_order(parts: Iterator[Tensor], places: Sequence[Tensor]) -> Tensor:
    """All rows of some parts, in order. parts: (p, ...) each; places: (p,), of their rows."""
    if torch.is_grad_enabled():
        collected = torch.cat(list(parts))
        return collected[torch.cat(list(places)).argsort().to(collected.device)]
    # Without gradients one large tensor is enough, filled part by part.
    first = next(parts)
    out = first.new_empty(sum(map(len, places)), *first.shape[1:])
    for rows, part in zip(places, chain([first], parts), strict=True):
        out[rows.to(part.device)] = part
    return out


def sort_by_document(rows: Tensor, windows: Windows) -> Tensor:
    """Put the rows of each document's windows behind those of its pieces. (P + 2 N, D) each"""
    n_documents = len(windows.document_lengths)
    of_pieces = torch.repeat_interleave(torch.arange(n_documents), windows.document_lengths)
    owners = torch.cat([of_pieces, windows.documents.repeat_interleave(2)])
    return rows[owners.argsort(stable=True).to(rows.device)]


def find_tokens(windows: Windows) -> tuple[Tensor, Tensor]:
    """Whether each token has pieces, (W,), and how many tokens of each document have, (n,)."""
    has_pieces = windows.lengths > 0
    document_ends = windows.document_lengths.cumsum(0)
    documents = torch.searchsorted(document_ends, windows.starts[has_pieces], right=True)
    return has_pieces, torch.bincount(documents, minlength=len(document_ends))
