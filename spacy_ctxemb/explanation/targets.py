"""What is to be explained: a label of a text, or of some of its tokens."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..errors import Errors

#: Where components write labels, as spaCy's factories declare it.
CATS, ENTS, SPANS = "doc.cats", "doc.ents", "doc.spans"


class Target(NamedTuple):
    """span: the first token, and the one after the last; None for all of a text."""

    label: str
    span: tuple[int, int] | None = None


def choose_components(
    nlp: Language, component: str | None, label: str | None, *, of_spans: bool
) -> dict[str, str]:
    """The components whose labels are to be explained, with where these are written.

    component: None for all; with a label, all that have it. of_spans: those of entities and spans
    alone. Raises E730, E731 or E732 where there are none.
    """
    kinds = (ENTS, SPANS) if of_spans else (CATS, ENTS, SPANS)
    found = {
        name: kind for name, pipe in nlp.pipeline if (kind := find_kind(nlp, name, pipe, kinds))
    }
    if not found:
        what = "entities or spans" if of_spans else "texts, entities or spans"
        raise ValueError(Errors.E730.format(names=nlp.pipe_names, what=what))
    if component is not None and component not in found:
        raise ValueError(Errors.E731.format(name=component, options=list(found)))
    chosen = {name: kind for name, kind in found.items() if component in (None, name)}
    labels = {name: list_labels(nlp, name) for name in chosen}
    if label is None:
        return chosen
    if not any(label in some for some in labels.values()):
        raise ValueError(Errors.E732.format(label=label, labels=labels))
    return {name: kind for name, kind in chosen.items() if label in labels[name]}


def find_kind(
    nlp: Language, name: str, pipe: Any, kinds: Sequence[str] = (CATS, ENTS, SPANS)
) -> str | None:
    """Where a component writes labels; None for one that gives none."""
    assigned = nlp.get_pipe_meta(name).assigns if getattr(pipe, "labels", ()) else ()
    return next((kind for kind in kinds if kind in assigned), None)


def list_labels(nlp: Language, name: str) -> list[str]:
    pipe: Any = nlp.get_pipe(name)
    return list(pipe.labels)


def choose_targets(
    nlp: Language, name: str, kind: str, doc: Doc, label: str | None, span: tuple[int, int] | None
) -> list[Target]:
    """The label that is asked for, or what a component has found: the best label of a text, or
    each entity or span.

    doc: after the pipeline. Raises E738 for a span that is not in it.
    """
    labels = list_labels(nlp, name)
    if kind == CATS:
        return [Target(label or max(labels, key=lambda one: doc.cats.get(one, 0.0)))]
    meant = labels if label is None else [label]
    if span is not None:
        check_span(doc, span)
        if label is not None:
            return [Target(label, span)]
    found = [one for one in list_spans(nlp, name, kind, doc) if one.label_ in meant]
    return [Target(one.label_, get_place(one)) for one in found if span in (None, get_place(one))]


def list_spans(nlp: Language, name: str, kind: str, doc: Doc) -> Sequence[Span]:
    pipe: Any = nlp.get_pipe(name)
    return list(doc.ents if kind == ENTS else doc.spans.get(getattr(pipe, "key", "sc")) or [])


def get_place(span: Span) -> tuple[int, int]:
    return span.start, span.end


def check_span(doc: Doc, span: tuple[int, int]) -> None:
    """Raise E738 for a span that is empty, not in a text, or nothing but white space."""
    is_pair = len(span) == 2 and all(isinstance(i, int) for i in span)
    start, end = span if is_pair else (0, 0)
    reason = ""
    if not 0 <= start < end <= len(doc):
        reason = "it is not in the text, or empty"
    elif all(token.is_space for token in doc[start:end]):
        reason = "it has no words"
    if reason:
        raise ValueError(Errors.E738.format(span=span, reason=reason, n_tokens=len(doc)))
