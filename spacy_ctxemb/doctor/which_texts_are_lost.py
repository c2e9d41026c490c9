"""Documents that spaCy's reader leaves out, or splits, for their length.

Above max_length it reads the sentences of a document one by one, where these are annotated, each as
a document without categories. Else it leaves the document out.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from spacy.tokens import Doc
from spacy.util import dot_to_object, registry

from .build_parts import Plan
from .findings import Finding, error, warning

#: Tasks that learn categories of documents.
OF_DOCUMENTS = ("textcat", "textcat_multilabel")

ADVICE = "Set max_length = 0: windows and batch_pieces bound the memory of long documents."


def check_lengths(plan: Plan, name: str, limit: int) -> Iterator[Finding]:
    """Of one corpus, train or dev. limit: documents to look at; 0 for all."""
    section = dot_to_object(plan.config, plan.training[f"{name}_corpus"])
    longest = section.get("max_length", 0)
    if section.get("@readers") != "spacy.Corpus.v1" or not longest or section.get("gold_preproc"):
        return
    docs = read_whole(plan, section, limit)
    too_long = [doc for doc in docs if len(doc) >= longest]
    lost = sum(not has_sentences(doc, longest) for doc in too_long)
    split = [doc for doc in too_long if has_sentences(doc, longest)]
    tasks = [part.name for part in plan.parts if part.factory in OF_DOCUMENTS]
    of_these = f"of {len(docs):,} documents have {longest} tokens or more"
    if lost:
        yield warning(
            f"{name}: {lost:,} {of_these}, and no sentences that are shorter: the reader leaves "
            "them out.",
            ADVICE,
        )
    if split and tasks:
        yield error(
            f"{name}: {len(split):,} {of_these}: the reader splits them into sentences, which have "
            f"no categories for {tasks} to learn.",
            ADVICE,
        )
    elif split:
        yield warning(
            f"{name}: {len(split):,} {of_these}: the reader splits them into sentences, and leaves "
            "out any that are as long.",
            ADVICE,
        )
    if tasks and not split:
        yield warning(
            f"{name}: max_length is {longest}, above which documents lose the categories that "
            f"{tasks} learn.",
            ADVICE,
        )


def read_whole(plan: Plan, section: dict[str, Any], limit: int) -> list[Doc]:
    """Documents as they would be without max_length."""
    settings = {**section, "max_length": 0, "augmenter": None}
    corpus = registry.resolve({"corpus": settings})["corpus"]
    return [eg.reference for eg in islice(corpus(plan.base), limit or None)]


def has_sentences(doc: Doc, longest: int) -> bool:
    """Whether anything of a long document is read."""
    return doc.has_annotation("SENT_START") and any(len(sent) < longest for sent in doc.sents)
