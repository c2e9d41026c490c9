"""Vectors of documents and sentences, from their pieces and the boundaries of their windows.

Source: Reimers and Gurevych 2019, "Sentence-BERT: Sentence Embeddings using Siamese
BERT-Networks", section 3; boundary pieces count as pieces, as there.
"""

import torch
from torch import Tensor

from ..windows.pieces_to_windows import Windows

DOC_POOLINGS = ("mean", "cls", "max")


def pool_texts(rows: Tensor, windows: Windows, how: str) -> tuple[Tensor, Tensor]:
    """Vectors of all documents, (n, D), and of all sequences, (S, D).

    rows: (P + 2 N, D), of the pieces, and of the boundaries of each window; each sequence has a
    window at least. Or (P, D), where the mix has left boundaries out. how: see `pool_groups`.
    """
    pieces, boundaries = rows[: windows.n_pieces], rows[windows.n_pieces :].unflatten(0, (-1, 2))

    def pool(n_pieces: Tensor, groups: Tensor) -> Tensor:
        n_windows = torch.bincount(groups)
        if not len(boundaries):
            n_windows = torch.zeros_like(n_windows)
        sizes = n_pieces.to(rows.device), n_windows.to(rows.device)
        return pool_groups(pieces, boundaries, *sizes, how)

    documents = pool(windows.document_lengths, windows.documents)
    return documents, pool(windows.sequence_lengths, windows.sequences)


def pool_groups(
    pieces: Tensor, boundaries: Tensor, n_pieces: Tensor, n_windows: Tensor, how: str
) -> Tensor:
    """One vector for each of G groups of neighbouring windows: sentences, or documents.

    pieces: (P, D). boundaries: (N, 2, D), of each window. n_pieces, n_windows: (G,), of each
    group. A group without rows has zeros.
    how: "mean" or "max" of pieces and boundaries; "cls", the begin of a window, or the mean of
        them where there are several.
    Returns (G, D).
    """
    if how == "cls":
        return sum_groups(boundaries[:, 0], n_windows) / n_windows[:, None]
    ends, n_ends = boundaries.flatten(0, 1), 2 * n_windows
    if how == "mean":
        total = sum_groups(pieces, n_pieces) + sum_groups(ends, n_ends)
        return total / (n_pieces + n_ends).clamp(min=1)[:, None]
    rows, owners = torch.cat([pieces, ends]), torch.cat([own(n_pieces), own(n_ends)])
    out = rows.new_zeros(len(n_pieces), rows.size(1))
    owners = owners[:, None].expand_as(rows)
    return out.scatter_reduce(0, owners, rows, "amax", include_self=False)


def sum_groups(rows: Tensor, sizes: Tensor) -> Tensor:
    """Sums of stretches of rows, one after the other. (n, D); (G,). Returns (G, D)."""
    return rows.new_zeros(len(sizes), rows.size(1)).index_add(0, own(sizes), rows)


def own(sizes: Tensor) -> Tensor:
    """The group of each row."""
    return torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
