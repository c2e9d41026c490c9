"""Which texts does spaCy's reader leave out or split, because they are too long?

From max_length on, the reader takes the sentences of a document one by one, where these are
annotated, each as a document without categories. Else it leaves the document out.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from spacy.tokens import Doc
from spacy.util import dot_to_object, registry

from .build_parts import Plan
from .findings import Finding, error, warning

#: Factories that learn categories of documents.
OF_DOCUMENTS = ("textcat", "textcat_multilabel")

ADVICE = "Set max_length = 0: windows and batch_pieces bound the memory of long documents."


def check_lengths(plan: Plan, name: str, limit: int) -> Iterator[Finding]:
    """Check one corpus, train or dev. limit: documents to look at; 0 for all."""
    section = dot_to_object(plan.config, plan.training[f"{name}_corpus"])
    longest = section.get("max_length", 0)
    if section.get("@readers") != "spacy.Corpus.v1" or not longest or section.get("gold_preproc"):
        return
    docs = read_whole(plan, section, limit)
    too_long = [doc for doc in docs if len(doc) >= longest]
    lost = sum(not has_sentences(doc, longest) for doc in too_long)
    split = [doc for doc in too_long if has_sentences(doc, longest)]
    tasks = [part.name for part in plan.parts if part.factory in OF_DOCUMENTS]
    these = f"of {len(docs):,} documents have {longest} tokens or more"
    splits = f"{name}: {len(split):,} {these}: the reader splits them into sentences,"
    if lost:
        what = "and no sentences that are shorter: the reader leaves them out."
        yield warning(f"{name}: {lost:,} {these}, {what}", ADVICE)
    if split and tasks:
        yield error(f"{splits} which have no categories for {tasks} to learn.", ADVICE)
    elif split:
        yield warning(f"{splits} and leaves out any that are as long.", ADVICE)
    elif tasks:
        what = f"above which documents lose the categories that {tasks} learn."
        yield warning(f"{name}: max_length is {longest}, {what}", ADVICE)


def read_whole(plan: Plan, section: dict[str, Any], limit: int) -> list[Doc]:
    """Read documents as they would be without max_length."""
    settings = {**section, "max_length": 0, "augmenter": None}
    corpus = registry.resolve({"corpus": settings})["corpus"]
    return [eg.reference for eg in islice(corpus(plan.base), limit or None)]


def has_sentences(doc: Doc, longest: int) -> bool:
    """Whether a long document has sentences that are read."""
    return doc.has_annotation("SENT_START") and any(len(sent) < longest for sent in doc.sents)
