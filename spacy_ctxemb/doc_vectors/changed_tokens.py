"""Docs whose tokens change after they were encoded: what they carry is made to fit.

spaCy keeps the row of a merged token's last part, and gives zeros to the parts of a split one.
Here a merged token has the mean of its parts, and a part what the token had that it was part of.
What a Doc carried when it was encoded is kept, and each time fitted to the tokens of now. Every
reader of a Doc calls `fit_tokens` first.
"""

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from spacy.tokens import Doc

from ..errors import Errors
from .doc_tensor import find_rows, find_vectors, has_tensor
from .names import TENSOR, user_key
from .refit_values import FIT, Places, count_tokens, list_places
from .tokens_when_encoded import join_starts, read_tokens, store_tokens
from .user_data import get_value, put_value


class Fitted(NamedTuple):
    """Something that was fitted: as it is now, as it was, and the tokens it was of."""

    name: str
    value: Any
    original: Any
    places: Places

    def fit(self, places: Places) -> Any:
        return FIT[self.name](self.original, self.places, places)


class Encoded(NamedTuple):
    """What is known of a Doc.

    tensor: its doc.tensor, which spaCy replaces when tokens change; None where it has none, or not
    this package's. places: its tokens then. fitted: what was fitted to these tokens, by the name of
    its extension, or TENSOR.
    """

    tensor: Any
    places: Places
    fitted: dict[str, Fitted]


#: Not in doc.user_data, which is stored: there the vectors would be stored twice.
_ENCODED: "WeakKeyDictionary[Doc, Encoded]" = WeakKeyDictionary()


def remember_tokens(doc: Doc, *, encoded: bool = True) -> None:
    """Note the tokens that a Doc has now, and its vectors.

    encoded: whether doc.tensor is this package's.
    """
    _ENCODED[doc] = Encoded(find_vectors(doc) if encoded else None, list_places(doc), {})


def drop(doc: Doc, name: str) -> None:
    """Take off a Doc what it carries. name: TENSOR, LAYERS or STATES."""
    if name == TENSOR:
        doc.tensor = find_rows(doc)[:0].flatten()
    else:
        doc.user_data.pop(user_key(name), None)
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
    if known is None:
        check_stored(doc)
    elif known.tensor is None or known.tensor is not doc.tensor:
        fit_known(doc, known, list_places(doc))


def check_stored(doc: Doc) -> None:
    """Remember a Doc that carries something, unless its tokens have changed."""
    before, places = join_starts(doc, read_tokens(doc)), list_places(doc)
    if before is not None:
        has_others = not np.array_equal(before, places.starts)
        if has_others or len(find_rows(doc)) > len(doc):
            raise ValueError(Errors.E064.format(before=len(before), after=len(doc)))
    if before is not None or has_tensor(doc):
        remember_tokens(doc)


def fit_known(doc: Doc, known: Encoded, places: Places) -> None:
    """Fit what a Doc carries that was encoded here, and remember that."""
    fitted = {}
    is_left = known.tensor is not None and is_of_spacy(doc, known, places)
    if is_left and (one := fit(TENSOR, known.tensor, known, places)) is not None:
        fitted[TENSOR] = one
        if not np.array_equal(one.value, doc.tensor):
            doc.tensor = one.value
    if np.array_equal(known.places.starts, places.starts):
        others = {name: one for name, one in known.fitted.items() if name != TENSOR}
        fitted = {**others, **fitted}
    else:
        for name in FIT.keys() - {TENSOR}:
            value = get_value(doc, name)
            if value is not None and (one := fit(name, value, known, places)) is not None:
                fitted[name] = one
                put_value(doc, name, one.value)
        if stored := read_tokens(doc).values():
            store_tokens(doc, is_pooled=any(one["is_pooled"] for one in stored))
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
    if last is not None and name == TENSOR:  # somebody may have changed values of it
        is_last = np.array_equal(last.fit(known.places), value)
    else:
        is_last = last is not None and last.value is value
    if last is None or not is_last:
        if count_tokens(name, value) != len(known.places.starts):
            return None
        last = Fitted(name, value, value, known.places)
    return last._replace(value=last.fit(places))
