"""Whether doc.tensor holds vectors of a Doc's tokens."""

from typing import Any

import numpy as np
from spacy.tokens import Doc

from ..errors import Errors


def check_tensor(doc: Doc) -> None:
    """Raise E060 for a Doc that has lost its vectors."""
    if not has_rows(doc):
        shape = getattr(doc.tensor, "shape", None)
        raise ValueError(Errors.E060.format(n_tokens=len(doc), shape=shape))


def has_rows(doc: Doc) -> bool:
    """Whether a Doc has a row for each token, none if it is empty."""
    return getattr(doc.tensor, "ndim", 0) == 2 and len(doc.tensor) == len(doc)


def has_tensor(doc: Doc) -> bool:
    """Whether a Doc has a tensor with anything in it; doc_cleaner sets None."""
    return bool(getattr(doc.tensor, "size", 0))


def lacks_tensor(doc: Doc) -> bool:
    """Whether a Doc has no vectors, not even those of no tokens."""
    rows = find_rows(doc)
    return not rows.shape[1] or (not len(rows) and len(doc) > 0)


def find_rows(doc: Doc) -> Any:
    """doc.tensor if it has rows at all, whosever it is; else none. (n, width)"""
    return doc.tensor if getattr(doc.tensor, "ndim", 0) == 2 else np.zeros((0, 0), dtype="f")


def find_vectors(doc: Doc) -> Any:
    """doc.tensor if it has a row for each token, of at least one; else None. (n_tokens, width)"""
    return doc.tensor if has_tensor(doc) and has_rows(doc) else None
