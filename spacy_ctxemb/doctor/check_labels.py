"""Which labels are there, and how many examples of each?"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from spacy.tokens import Doc

from ..stack.stack import is_stack
from .build_components import Part
from .check_what_learns import list_trained
from .findings import Finding, error, ok, warning
from .read_samples import Sample

#: Fewer examples of a label than these teach little.
FEW = 10

#: More labels of texts than these are many.
MANY = 10


def find_positive(pipe: Any, doc: Doc) -> Iterable[str]:
    return (label for label, value in doc.cats.items() if value is not None and value >= 0.5)


#: The labels that a component finds in a gold Doc, by factory.
FINDERS: dict[str, Callable[[Any, Doc], Iterable[str]]] = {
    **dict.fromkeys(("ner", "ctxemb_ner"), lambda pipe, doc: (ent.label_ for ent in doc.ents)),
    **dict.fromkeys(("textcat", "textcat_multilabel", "ctxemb_textcat"), find_positive),
    "tagger": lambda pipe, doc: (token.tag_ for token in doc if token.tag_),
    "morphologizer": lambda pipe, doc: (
        f"{token.morph}|POS={token.pos_}" for token in doc if token.pos_ or token.has_morph()
    ),
    "parser": lambda pipe, doc: (token.dep_ for token in doc if token.dep_),
    "senter": lambda pipe, doc: (
        "sentence" for token in doc if token.is_sent_start and doc.has_annotation("SENT_START")
    ),
    "spancat": lambda pipe, doc: (span.label_ for span in doc.spans.get(pipe.key, [])),
}


def check_labels(parts: Sequence[Part], samples: dict[str, Sample]) -> Iterator[Finding]:
    """Check all components that learn labels. What a sample lacks, the rest may have."""
    for part in parts:
        if part.factory in FINDERS and not part.is_frozen and "train" in samples:
            counts = {name: count_labels(part, sample) for name, sample in samples.items()}
            yield check_train(part.name, counts["train"], samples["train"])
            yield from check_many_classes(part, len(counts["train"]))
            if counts["train"] and "dev" in counts:
                yield from check_dev(part.name, counts["train"], counts["dev"])


def check_many_classes(part: Part, n_labels: int) -> Iterator[Finding]:
    """Find texts of many classes that only a frozen biLM tells apart."""
    if n_labels <= MANY or "textcat" not in part.factory:
        return
    if any(is_stack(node) for node in part.pipe.model.walk()):
        return  # a network of the task stands beside the listener
    for upstream in part.plan.embedders:
        encoders = [shim.embedder.encoder for shim in upstream.encoders.values()]
        is_bilm = not any(encoder.has_attention for encoder in encoders)
        if part in upstream.readers and is_bilm and not list_trained(upstream):
            yield warning(
                f"'{part.name}' has {n_labels} labels, and '{upstream.name}', the biLM it reads, "
                "does not learn: its vectors tell few kinds of text apart.",
                "Put a network of the task beside it (init-config --cnn), train it too, or take a "
                "Transformer (init-config --encoder minilm).",
            )


def count_labels(part: Part, sample: Sample) -> Counter[str]:
    """Count the labels in the gold annotations."""
    find = FINDERS[part.factory]
    return Counter(label for eg in sample.examples for label in find(part.pipe, eg.reference))


def check_train(name: str, counts: Counter[str], sample: Sample) -> Finding:
    """Find missing and rare labels."""
    where = "train" if sample.is_whole else f"the first {len(sample.examples):,} documents of train"
    if not counts:
        found = error if sample.is_whole else warning
        advice = f"Annotate it, or remove '{name}' from the pipeline."
        return found(f"'{name}' finds no annotations in {where}.", advice)
    ordered = sorted(counts.items(), key=lambda item: item[1])
    ascending = [f"{label} ({n})" for label, n in ordered]
    n_rare = sum(n < FEW for n in counts.values())
    if not n_rare:
        return ok(f"'{name}': {len(counts)} labels, the rarest is {ascending[0]}")
    return warning(
        f"'{name}': {n_rare} of {len(counts)} labels have fewer than {FEW} examples in {where}: "
        f"{', '.join(ascending[: min(n_rare, 8)])}.",
        "Annotate more of them, or merge labels.",
    )


def check_dev(name: str, train: Counter[str], dev: Counter[str]) -> Iterator[Finding]:
    """Find labels that cannot be learned, or not be scored."""
    unseen = sorted(dev.keys() - train.keys())
    if not dev:
        advice = "Annotate dev: without it the best model cannot be chosen."
        yield warning(f"'{name}' finds no annotations in dev.", advice)
    elif unseen:
        advice = "Add examples to train; spaCy cannot predict other labels."
        yield warning(f"'{name}': dev has labels that train has not: {unseen[:8]}.", advice)
