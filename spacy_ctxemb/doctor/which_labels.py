"""Labels: how many examples there are of each."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from spacy.tokens import Doc

from .build_parts import Part
from .findings import Finding, error, ok, warning
from .which_texts import Sample

#: Examples of a label below which little can be learned.
FEW = 10

#: A component, and a Doc, to the labels in it.
FindLabels = Callable[[Any, Doc], Iterable[str]]


def find_positive(pipe: Any, doc: Doc) -> Iterable[str]:
    return (label for label, value in doc.cats.items() if value >= 0.5)


FINDERS: dict[str, FindLabels] = {
    "ner": lambda pipe, doc: (ent.label_ for ent in doc.ents),
    "textcat": find_positive,
    "textcat_multilabel": find_positive,
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
    """All components that learn labels. What is not in a sample may be in the rest."""
    for part in parts:
        if part.factory in FINDERS and not part.is_frozen and "train" in samples:
            counts = {name: count_labels(part, sample) for name, sample in samples.items()}
            yield from check_component(part, counts, samples["train"])


def count_labels(part: Part, sample: Sample) -> Counter[str]:
    """How often each label stands in the gold annotations."""
    find = FINDERS[part.factory]
    return Counter(label for eg in sample.examples for label in find(part.pipe, eg.reference))


def check_component(
    part: Part, counts: dict[str, Counter[str]], sample: Sample
) -> Iterator[Finding]:
    """The labels of one component."""
    train, name = counts["train"], part.name
    where = "train" if sample.is_whole else f"the first {len(sample.examples):,} documents of train"
    if not train:
        advice = f"Annotate it, or remove '{name}' from the pipeline."
        found = error if sample.is_whole else warning
        yield found(f"'{name}' finds no annotations in {where}.", advice)
        return
    rare = {label: n for label, n in train.items() if n < FEW}
    listed = ", ".join(
        f"{label} ({n})" for label, n in sorted(rare.items(), key=lambda x: x[1])[:8]
    )
    if rare:
        yield warning(
            f"'{name}': {len(rare)} of {len(train)} labels have fewer than {FEW} examples in "
            f"{where}: {listed}.",
            "Annotate more of them, or merge labels.",
        )
    else:
        least, n = min(train.items(), key=lambda item: item[1])
        yield ok(f"'{name}': {len(train)} labels, at least {n} examples each ({least})")
    if part.factory in ("textcat", "textcat_multilabel") and len(train) == 1:
        advice = "Add texts of another label."
        yield warning(f"'{name}' has the label {least_of(train)} alone.", advice)
    yield from check_dev(name, train, counts.get("dev"))


def least_of(counts: Counter[str]) -> str:
    return min(counts, key=lambda label: counts[label])


def check_dev(name: str, train: Counter[str], dev: Counter[str] | None) -> Iterator[Finding]:
    """Labels of which there are none to learn from, or none to score."""
    if dev is None:
        return
    if not dev:
        advice = "Annotate dev: without it the best model cannot be chosen."
        yield warning(f"'{name}' finds no annotations in dev.", advice)
        return
    unseen = sorted(dev.keys() - train.keys())
    if unseen:
        advice = "Add examples to train; spaCy cannot predict other labels."
        yield warning(f"'{name}': dev has labels that train has not: {unseen[:8]}.", advice)
