"""Which texts does spaCy's reader leave out or split, because they are too long?

From max_length on, the reader takes the sentences of a document one by one, where these are
annotated, each as a document without categories. Else it leaves the document out.
"""

from collections.abc import Iterator
from itertools import islice

from spacy.tokens import Doc
from spacy.util import dot_to_object, registry

from .build_components import Plan
from .findings import Finding, error, warning


def check_lengths(plan: Plan, name: str, limit: int) -> Iterator[Finding]:
    """Check one corpus, train or dev. limit: documents to look at; 0 for all."""
    section = dot_to_object(plan.config, plan.training[f"{name}_corpus"])
    longest = section.get("max_length", 0)
    if section.get("@readers") != "spacy.Corpus.v1" or not longest or section.get("gold_preproc"):
        return
    whole = {**section, "max_length": 0, "augmenter": None}
    corpus = registry.resolve({"corpus": whole})["corpus"]
    docs = [eg.reference for eg in islice(corpus(plan.base), limit or None)]
    too_long = [doc for doc in docs if len(doc) >= longest]
    if not too_long:
        return
    n_split = sum(has_sentences(doc, longest) for doc in too_long)
    message = (
        f"{name}: {len(too_long):,} of {len(docs):,} documents reach max_length of the reader, "
        f"{longest} tokens: it splits {n_split:,} into sentences, and leaves the others out"
    )
    advice = "Set max_length = 0: windows and batch_pieces bound the memory of long documents."
    tasks = [part.name for part in plan.parts if part.factory.startswith("textcat")]
    if n_split and tasks:
        yield error(f"{message}; sentences have no categories for {tasks} to learn.", advice)
    else:
        yield warning(f"{message}.", advice)


def has_sentences(doc: Doc, longest: int) -> bool:
    """Whether a long document has sentences that are read."""
    return doc.has_annotation("SENT_START") and any(len(sent) < longest for sent in doc.sents)
