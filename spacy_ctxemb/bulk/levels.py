"""The stretches of a Doc that get a vector each."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span

from ..doc_vectors.hooks import read_rows
from ..errors import Errors

Vectors = NDArray[np.floating[Any]]


class Stretch(NamedTuple):
    """Part of a text. start, end: its characters there. label: of a span of the level span."""

    text: str
    start: int
    end: int
    label: str = ""


class Level(NamedTuple):
    """A kind of stretches. assigns: what components declare that find them. read: finds them in a
    Doc with an id and a spans key, with their vectors."""

    assigns: frozenset[str]
    read: Callable[[Doc, str, str | None], tuple[list[Stretch], list[Any]]]


def read_doc(doc: Doc, id: str, spans_key: str | None) -> tuple[list[Stretch], list[Any]]:
    return [Stretch(doc.text, 0, len(doc.text))], [doc.vector]


def read_sentences(doc: Doc, id: str, spans_key: str | None) -> tuple[list[Stretch], list[Any]]:
    if not doc.has_annotation("SENT_START"):
        raise ValueError(Errors.E702.format(id=id))
    return read_spans(doc.sents)


def read_tokens(doc: Doc, id: str, spans_key: str | None) -> tuple[list[Stretch], list[Any]]:
    found = [Stretch(token.text, token.idx, token.idx + len(token)) for token in doc]
    return found, list(read_rows(doc))


def read_entities(doc: Doc, id: str, spans_key: str | None) -> tuple[list[Stretch], list[Any]]:
    """Entities, or the spans of a key."""
    if spans_key is None:
        return read_spans(doc.ents)
    if spans_key not in doc.spans:
        raise ValueError(Errors.E703.format(id=id, key=spans_key, found=list(doc.spans)))
    return read_spans(cast(Iterable[Span], doc.spans[spans_key]))


def read_spans(spans: Iterable[Span]) -> tuple[list[Stretch], list[Any]]:
    spans = list(spans)
    found = [Stretch(x.text, x.start_char, x.end_char, x.label_) for x in spans]
    return found, [span.vector for span in spans]


LEVELS = {
    "doc": Level(frozenset(), read_doc),
    "sent": Level(frozenset({"doc.sents", "token.is_sent_start"}), read_sentences),
    "token": Level(frozenset(), read_tokens),
    "span": Level(frozenset({"doc.ents", "doc.spans"}), read_entities),
}


def check_options(level: str, dtype: str, dtypes: Collection[str]) -> None:
    """Raise E701 for an unknown level or dtype."""
    for what, value, options in (("level", level, LEVELS), ("dtype", dtype, dtypes)):
        if value not in options:
            raise ValueError(Errors.E701.format(what=what, found=value, options=list(options)))


def join_rows(rows: Sequence[Any], width: int, dtype: str) -> Vectors:
    """(n, width), also of vectors on a GPU and of none."""
    plain = [row.get() if hasattr(row, "get") else row for row in rows]
    return np.array(plain, dtype=dtype).reshape(len(plain), width)
