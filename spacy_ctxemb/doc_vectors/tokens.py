"""Docs whose tokens change after they were encoded: what they carry is made to fit.

spaCy keeps the row of a merged token's last part, and gives zeros to the parts of a split one.
Here a merged token has the mean of its parts, and a part what the token had that it was part of.
Every reader of a Doc calls `fit_tokens` first.
"""

from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from ..errors import Errors
from .names import LAYERS, PIECES, POOLED, TOKENS_KEY

#: In place of the first token of a sentence that begins within a token now.
LOST = -1

Starts = NDArray[np.int64]


class Encoded(NamedTuple):
    """A Doc as it was encoded.

    tensor: its doc.tensor, which spaCy replaces when tokens change; None without. starts: the
    character at which each token begins. (n_tokens,)
    """

    tensor: Any
    starts: Starts


#: Not in doc.user_data, which is stored: there the vectors would be stored twice.
_ENCODED: "WeakKeyDictionary[Doc, Encoded]" = WeakKeyDictionary()


def remember_tokens(doc: Doc, *, encoded: bool = True) -> None:
    """Note the tokens that a Doc has now, and its vectors.

    encoded: whether doc.tensor is this package's.
    """
    tensor = doc.tensor if encoded and has_tensor(doc) else None
    _ENCODED[doc] = Encoded(tensor, list_starts(doc))


def store_tokens(doc: Doc, *, is_pooled: bool) -> None:
    """Write the same to doc.user_data, for copies and for Docs that are stored."""
    drop_tokens(doc)
    doc.user_data[TOKENS_KEY] = {"starts": list_starts(doc), "is_pooled": is_pooled}


def fit_tokens(doc: Doc) -> None:
    """Make what a Doc carries fit its tokens, where these have changed since it was encoded.

    Raises E064 where that cannot be done: in a copy or a Doc that was stored there are only the
    rows that spaCy has left.
    """
    known = _ENCODED.get(doc)
    if known is not None and known.tensor is not None and known.tensor is doc.tensor:
        return
    stored = read_tokens(doc)
    before = known.starts if known is not None else join_starts(doc, stored)
    if before is None:
        if has_tensor(doc):
            remember_tokens(doc)
        return
    if not np.array_equal(before, list_starts(doc)):
        is_lost = known is None or not isinstance(known.tensor, np.ndarray | None)
        if is_lost:
            raise ValueError(Errors.E064.format(before=len(before), after=len(doc)))
        fit(doc, cast(Encoded, known))
        if stored:
            store_tokens(doc, is_pooled=any(one["is_pooled"] for one in stored.values()))
    remember_tokens(doc, encoded=known is None or known.tensor is not None)


def fit(doc: Doc, known: Encoded) -> None:
    """Change the vectors, layers, pieces and sentences of a Doc."""
    parts = find_parts(doc, known.starts)
    if known.tensor is not None and has_tensor(doc):
        doc.tensor = cast(Any, average(known.tensor, parts))
    if (layers := doc._.get(LAYERS)) is not None:
        doc._.set(LAYERS, average(layers, parts))
    if (pieces := doc._.get(PIECES)) is not None:
        n_before = np.cumsum([0, *pieces["lengths"]])
        lengths = n_before[parts.ends] - n_before[parts.firsts]
        changed = {"starts": np.asarray(pieces["starts"])[parts.firsts], "lengths": lengths}
        doc._.set(PIECES, {**pieces, **changed})
    if (pooled := doc._.get(POOLED)) is not None:
        places = {start: i for i, start in enumerate(list_starts(doc).tolist())}
        begin = known.starts[np.asarray(pooled["starts"], dtype=int)].tolist() if len(doc) else []
        starts = [places.get(start, LOST) for start in begin]
        doc._.set(POOLED, {**pooled, "starts": starts, "n_tokens": len(doc)})


class Parts(NamedTuple):
    """The tokens of before that each token has characters of: the first, and the one after the
    last. (n_tokens,) each"""

    firsts: Starts
    ends: Starts


def find_parts(doc: Doc, before: Starts) -> Parts:
    """before: where each token began."""
    starts = list_starts(doc)
    firsts = np.searchsorted(before, starts, side="right") - 1
    ends = np.searchsorted(before, starts + doc.to_array("LENGTH").astype(int), side="left")
    return Parts(firsts, np.maximum(ends, firsts + 1))


def average(rows: NDArray[np.float32], parts: Parts) -> NDArray[np.float32]:
    """The mean of the parts of each token that have a vector. (..., m, D) to (..., n_tokens, D)"""
    fitted = rows[..., parts.firsts, :]
    axes = (*range(rows.ndim - 2), rows.ndim - 1)
    for i in np.flatnonzero(parts.ends - parts.firsts > 1):
        some = rows[..., parts.firsts[i] : parts.ends[i], :]
        n_vectors = int(some.any(axis=axes).sum())
        fitted[..., i, :] = some.sum(axis=-2) / max(n_vectors, 1)
    return fitted


def list_starts(doc: Doc) -> Starts:
    """The character at which each token begins. (n_tokens,)"""
    return doc.to_array("IDX").astype(np.int64)


def read_tokens(doc: Doc) -> dict[int, dict[str, Any]]:
    """What `store_tokens` has written, by the character at which each Doc begins that this one was
    joined from."""
    found: dict[Any, Any] = doc.user_data
    keys = [key for key in found if isinstance(key, tuple) and key[:2] == TOKENS_KEY[:2]]
    return {key[2]: found[key] for key in sorted(keys, key=lambda key: cast(int, key[2]))}


def join_starts(doc: Doc, stored: dict[int, dict[str, Any]]) -> Starts | None:
    """Where the tokens of a Doc began when it was encoded; None where nothing says so."""
    if not stored:
        return None
    starts = np.concatenate([offset + one["starts"] for offset, one in stored.items()])
    # Of a Doc that was made of a span of another, those of the span alone.
    return cast(Starts, starts[(starts >= 0) & (starts < len(doc.text))])


def drop_tokens(doc: Doc) -> None:
    """Take away what `store_tokens` has written."""
    for offset in read_tokens(doc):
        key: Any = (*TOKENS_KEY[:2], offset, None)
        del doc.user_data[key]


def is_pooled(doc: Doc) -> bool:
    """Whether a Doc was encoded by a component with doc_pooling."""
    stored = read_tokens(doc).values()
    return doc._.get(POOLED) is not None or any(one["is_pooled"] for one in stored)


def has_tensor(doc: Doc) -> bool:
    """Whether a Doc has a tensor with anything in it; doc_cleaner sets None."""
    return bool(getattr(doc.tensor, "size", 0))


def has_rows(doc: Doc) -> bool:
    """Whether a Doc has a row for each token, none if it is empty."""
    shape: tuple[int, ...] = getattr(doc.tensor, "shape", ())
    return len(shape) == 2 and shape[0] == len(doc)


def check_tensor(doc: Doc) -> None:
    """Raise E060 for a Doc that has lost its vectors."""
    if not has_rows(doc):
        shape = getattr(doc.tensor, "shape", None)
        raise ValueError(Errors.E060.format(n_tokens=len(doc), shape=shape))
