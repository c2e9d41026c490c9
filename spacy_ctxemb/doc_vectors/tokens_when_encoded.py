"""What a Doc says of the tokens it was encoded with, also in a copy or once it is stored."""

from typing import Any, cast

import numpy as np
from spacy.tokens import Doc

from .names import POOLED, TOKENS_KEY, user_key
from .refit_values import Starts, list_places


def store_tokens(doc: Doc, *, is_pooled: bool) -> None:
    """Write the tokens that a Doc has now to doc.user_data."""
    drop_tokens(doc)
    doc.user_data[TOKENS_KEY] = {"starts": list_places(doc).starts, "is_pooled": is_pooled}


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
    for offset in read_tokens(doc):
        key: Any = (*TOKENS_KEY[:2], offset, None)
        del doc.user_data[key]


def is_pooled(doc: Doc) -> bool:
    """Whether a Doc was encoded by a component with doc_pooling."""
    stored = read_tokens(doc).values()
    return doc.user_data.get(user_key(POOLED)) is not None or any(
        one["is_pooled"] for one in stored
    )
