"""Docs whose tokens change after they were encoded: what they carry is made to fit.

spaCy keeps the row of a merged token's last part, and gives zeros to the parts of a split one.
Here a merged token has the mean of its parts, and a part what the token had that it was part of.
What a Doc carried when it was encoded is kept, and each time fitted to the tokens of now. Every
reader of a Doc calls `fit_tokens` first.
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


class Places(NamedTuple):
    """The character at which each token begins, and the one after its last. (n_tokens,) each"""

    starts: Starts
    ends: Starts


class Fitted(NamedTuple):
    """Something that was fitted: as it is now, as it was, and the tokens it was of."""

    value: Any
    original: Any
    places: Places


class Encoded(NamedTuple):
    """What is known of a Doc.

    tensor: its doc.tensor, which spaCy replaces when tokens change; None where it has none, or not
    this package's. places: its tokens then. fitted: what was fitted to these tokens, by the name of
    its extension, or TENSOR.
    """

    tensor: Any
    places: Places
    fitted: dict[str, Fitted]


#: doc.tensor among what was fitted.
TENSOR = "tensor"

#: Not in doc.user_data, which is stored: there the vectors would be stored twice.
_ENCODED: "WeakKeyDictionary[Doc, Encoded]" = WeakKeyDictionary()


def remember_tokens(doc: Doc, *, encoded: bool = True) -> None:
    """Note the tokens that a Doc has now, and its vectors.

    encoded: whether doc.tensor is this package's.
    """
    _ENCODED[doc] = Encoded(find_vectors(doc) if encoded else None, list_places(doc), {})


def store_tokens(doc: Doc, *, is_pooled: bool) -> None:
    """Write the same to doc.user_data, for copies and for Docs that are stored."""
    drop_tokens(doc)
    doc.user_data[TOKENS_KEY] = {"starts": list_places(doc).starts, "is_pooled": is_pooled}


def forget(doc: Doc, name: str) -> None:
    """Keep no longer what was taken off a Doc.

    name: of an extension, or TENSOR.
    """
    if (known := _ENCODED.get(doc)) is not None:
        known.fitted.pop(name, None)
        if name == TENSOR:
            _ENCODED[doc] = known._replace(tensor=None)


def fit_tokens(doc: Doc) -> None:
    """Make what a Doc carries fit its tokens, where these have changed since it was encoded.

    Raises E064 where that cannot be done: in a copy or a Doc that was stored there are only the
    rows that spaCy has left.
    """
    known = _ENCODED.get(doc)
    if known is not None and known.tensor is not None and known.tensor is doc.tensor:
        return
    stored = read_tokens(doc)
    places = list_places(doc)
    if known is None:
        before = join_starts(doc, stored)
        if before is not None:
            has_others = not np.array_equal(before, places.starts)
            if has_others or len(find_rows(doc)) > len(doc):
                raise ValueError(Errors.E064.format(before=len(before), after=len(doc)))
        if before is not None or has_tensor(doc):
            remember_tokens(doc)
        return
    fitted = {}
    is_left = known.tensor is not None and is_of_spacy(doc, known, places)
    if is_left and (one := fit(TENSOR, doc.tensor, known, places)) is not None:
        fitted[TENSOR] = one
        if not np.array_equal(one.value, doc.tensor):
            doc.tensor = one.value
    if not np.array_equal(known.places.starts, places.starts):
        for name in FIT:
            key: Any = ("._.", name, None, None)
            value = doc.user_data.get(key)
            if value is not None and (one := fit(name, value, known, places)) is not None:
                fitted[name] = one
                doc.user_data[key] = one.value
        if stored:
            store_tokens(doc, is_pooled=any(one["is_pooled"] for one in stored.values()))
    else:
        fitted = {**known.fitted, **fitted}
        if not is_left:
            fitted.pop(TENSOR, None)
    tensor = find_vectors(doc) if known.tensor is not None else None
    _ENCODED[doc] = Encoded(tensor, places, fitted)


def is_of_spacy(doc: Doc, known: Encoded, places: Places) -> bool:
    """Whether doc.tensor is what spaCy has left of the one that is known, and not somebody's own.

    Merged tokens keep their last row, and so the one of a token with the same end. Each split gives
    zeros to the parts, and leaves a row too many.
    Raises E064 where it cannot be told: on the GPU spaCy overwrites the tensor that it replaces.
    """
    rows = find_rows(doc)
    n_tokens, n_splits = len(places.starts), len(rows) - len(places.starts)
    if not has_tensor(doc) or rows.shape[1] != known.tensor.shape[1] or n_splits < 0:
        return False
    is_changed = n_splits > 0 or not np.array_equal(known.places.starts, places.starts)
    if not (isinstance(rows, np.ndarray) and isinstance(known.tensor, np.ndarray)):
        if is_changed:
            before = len(known.places.starts)
            raise ValueError(Errors.E064.format(before=before, after=n_tokens))
        return False
    at = np.searchsorted(known.places.ends, places.ends).clip(max=len(known.tensor) - 1)
    expected = np.where((known.places.ends[at] == places.ends)[:, None], known.tensor[at], 0)
    is_same = (rows[:n_tokens] == expected).all(axis=1)
    if n_splits:
        is_same |= ~rows[:n_tokens].any(axis=1)
    return bool(is_same.all() and not rows[n_tokens:].any())


def fit(name: str, value: Any, known: Encoded, places: Places) -> Fitted | None:
    """Something that a Doc carries, for the tokens it has now; None where it was not of the tokens
    that are known."""
    last = known.fitted.get(name)
    if name == TENSOR:
        value = known.tensor
        if last is not None and not np.array_equal(refit(name, last, known.places), value):
            last = None  # somebody has changed values of it
    elif last is None or last.value is not value:
        last = None
        if count_tokens(name, value) != len(known.places.starts):
            return None
    if last is None:
        last = Fitted(value, value, known.places)
    return last._replace(value=refit(name, last, places))


def refit(name: str, last: Fitted, places: Places) -> Any:
    """What something was when it was encoded, for other tokens."""
    return (
        FIT[name](last.original, last.places, places)
        if name in FIT
        else fit_rows(*last[1:], places)
    )


class Parts(NamedTuple):
    """The tokens of before that each token has characters of: the first, and the one after the
    last. (n_tokens,) each"""

    firsts: Starts
    ends: Starts


def find_parts(before: Places, places: Places) -> Parts:
    """before: the tokens of before."""
    firsts = np.searchsorted(before.starts, places.starts, side="right") - 1
    ends = np.searchsorted(before.starts, places.ends, side="left")
    return Parts(firsts, np.maximum(ends, firsts + 1))


def fit_rows(rows: NDArray[np.float32], before: Places, places: Places) -> NDArray[np.float32]:
    """The mean of the parts of each token that have a vector. (..., m, D) to (..., n_tokens, D)"""
    parts = find_parts(before, places)
    fitted = rows[..., parts.firsts, :]
    axes = (*range(rows.ndim - 2), rows.ndim - 1)
    for i in np.flatnonzero(parts.ends - parts.firsts > 1):
        some = rows[..., parts.firsts[i] : parts.ends[i], :]
        n_vectors = int(some.any(axis=axes).sum())
        fitted[..., i, :] = some.sum(axis=-2) / max(n_vectors, 1)
    return fitted


def fit_pieces(pieces: dict[str, Any], before: Places, places: Places) -> dict[str, Any]:
    """The pieces of all parts of each token; two tokens may share some."""
    parts = find_parts(before, places)
    starts, n_pieces = np.asarray(pieces["starts"]), np.asarray(pieces["lengths"])
    firsts, lengths = starts[parts.firsts], n_pieces[parts.firsts]
    for i in np.flatnonzero(parts.ends - parts.firsts > 1):
        some = np.arange(parts.firsts[i], parts.ends[i])
        some = some[n_pieces[some] > 0]
        if len(some):
            firsts[i] = starts[some].min()
            lengths[i] = (starts + n_pieces)[some].max() - firsts[i]
    return {**pieces, "starts": firsts, "lengths": lengths}


def fit_pooled(pooled: dict[str, Any], before: Places, places: Places) -> dict[str, Any]:
    """The first tokens of sentences, LOST where a sentence begins within a token."""
    index = {start: i for i, start in enumerate(places.starts.tolist())}
    begin = before.starts[np.asarray(pooled["starts"], dtype=int)].tolist() if index else []
    starts = [index.get(start, LOST) for start in begin]
    return {**pooled, "starts": starts, "n_tokens": len(index)}


#: What is fitted besides doc.tensor, and how.
FIT: dict[str, Any] = {LAYERS: fit_rows, PIECES: fit_pieces, POOLED: fit_pooled}


def count_tokens(name: str, value: Any) -> int:
    """Of how many tokens something is."""
    if name == LAYERS:
        return int(value.shape[1])
    return int(value["n_tokens"]) if name == POOLED else len(value["starts"])


def list_places(doc: Doc) -> Places:
    """Where each token begins and ends."""
    starts, lengths = doc.to_array(["IDX", "LENGTH"]).astype(np.int64).reshape(-1, 2).T
    return Places(starts, starts + lengths)


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


def find_rows(doc: Doc) -> Any:
    """doc.tensor if it has rows at all, whosever it is; else none. (n, width)"""
    return doc.tensor if getattr(doc.tensor, "ndim", 0) == 2 else np.zeros((0, 0), dtype="f")


def find_vectors(doc: Doc) -> Any:
    """doc.tensor if it has a row for each token, of at least one; else None. (n_tokens, width)"""
    return doc.tensor if has_tensor(doc) and has_rows(doc) else None


def lacks_tensor(doc: Doc) -> bool:
    """Whether a Doc has no vectors, not even those of no tokens."""
    rows = find_rows(doc)
    return not rows.shape[1] or (not len(rows) and len(doc) > 0)


def has_rows(doc: Doc) -> bool:
    """Whether a Doc has a row for each token, none if it is empty."""
    shape: tuple[int, ...] = getattr(doc.tensor, "shape", ())
    return len(shape) == 2 and shape[0] == len(doc)


def check_tensor(doc: Doc) -> None:
    """Raise E060 for a Doc that has lost its vectors."""
    if not has_rows(doc):
        shape = getattr(doc.tensor, "shape", None)
        raise ValueError(Errors.E060.format(n_tokens=len(doc), shape=shape))
