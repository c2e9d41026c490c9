"""Fit what a Doc carries to other tokens than those that it was encoded with."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from .names import LAYERS, PIECES, POOLED, STATES, TENSOR

#: In place of the first token of a sentence that begins within a token now.
LOST = -1

Starts = NDArray[np.int64]


class Places(NamedTuple):
    """The character at which each token begins, and the one after its last. (n_tokens,) each"""

    starts: Starts
    ends: Starts


def list_places(doc: Doc) -> Places:
    starts, lengths = doc.to_array(["IDX", "LENGTH"]).astype(np.int64).reshape(-1, 2).T
    return Places(starts, starts + lengths)


def find_parts(before: Places, places: Places) -> tuple[Starts, Starts]:
    """The tokens of before that each token has characters of: the first, and the one after the
    last. (n_tokens,) each"""
    firsts = np.searchsorted(before.starts, places.starts, side="right") - 1
    ends = np.searchsorted(before.starts, places.ends, side="left")
    return firsts, np.maximum(ends, firsts + 1)


def fit_rows(rows: NDArray[np.float32], before: Places, places: Places) -> NDArray[np.float32]:
    """The mean of the parts of each token that have a vector. (..., m, D) to (..., n_tokens, D)"""
    firsts, ends = find_parts(before, places)
    fitted = rows[..., firsts, :]
    axes = (*range(rows.ndim - 2), rows.ndim - 1)
    for i in np.flatnonzero(ends - firsts > 1):
        some = rows[..., firsts[i] : ends[i], :]
        n_vectors = int(some.any(axis=axes).sum())
        fitted[..., i, :] = some.sum(axis=-2) / max(n_vectors, 1)
    return fitted


def fit_pieces(pieces: dict[str, Any], before: Places, places: Places) -> dict[str, Any]:
    """The pieces of all parts of each token; two tokens may share some."""
    firsts, ends = find_parts(before, places)
    starts, n_pieces = np.asarray(pieces["starts"]), np.asarray(pieces["lengths"])
    fitted, lengths = starts[firsts], n_pieces[firsts]
    for i in np.flatnonzero(ends - firsts > 1):
        some = np.arange(firsts[i], ends[i])
        some = some[n_pieces[some] > 0]
        if len(some):
            fitted[i] = starts[some].min()
            lengths[i] = (starts + n_pieces)[some].max() - fitted[i]
    return {**pieces, "starts": fitted, "lengths": lengths}


def fit_pooled(pooled: dict[str, Any], before: Places, places: Places) -> dict[str, Any]:
    """The first tokens of sentences, LOST where a sentence begins within a token."""
    index = {start: i for i, start in enumerate(places.starts.tolist())}
    begin = before.starts[np.asarray(pooled["starts"], dtype=int)].tolist() if index else []
    starts = [index.get(start, LOST) for start in begin]
    return {**pooled, "starts": starts, "n_tokens": len(index)}


#: What is fitted, and how.
FIT: dict[str, Any] = {
    TENSOR: fit_rows,
    LAYERS: fit_rows,
    PIECES: fit_pieces,
    STATES: fit_pieces,
    POOLED: fit_pooled,
}


def count_tokens(name: str, value: Any) -> int:
    """Of how many tokens something is."""
    if name in (TENSOR, LAYERS):
        return int(value.shape[-2])
    return int(value["n_tokens"]) if name == POOLED else len(value["starts"])
