"""The first documents of the corpora, as training reads them, and what it does not read."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.corpus import walk_corpus
from spacy.util import dot_to_object, registry

from .build_components import Plan
from .findings import Finding, error, ok, warning

#: Texts of fewer words occur again and again, copied or not.
SHORT = 5


class Sample(NamedTuple):
    """The first documents of a corpus. n_docs: of the whole corpus, about."""

    examples: list[Example]
    n_docs: int
    is_whole: bool

    @property
    def docs(self) -> list[Doc]:
        """What the encoder sees."""
        return [eg.predicted for eg in self.examples]


def read_samples(plan: Plan, limit: int) -> tuple[dict[str, Sample], list[Finding]]:
    """Read "train" and "dev" as training does. limit: documents of each; 0 for all."""
    samples: dict[str, Sample] = {}
    findings: list[Finding] = []
    for name in ("train", "dev"):
        place = plan.training[f"{name}_corpus"]
        try:
            section = dot_to_object(plan.config, place)
            sample = read_sample(plan, section, limit)
            findings.extend(check_lengths(plan, name, section, limit))
        except (ValueError, OSError, KeyError) as reason:
            advice = f"Correct [{place}], or pass --paths.{name}."
            findings.append(error(f"{place} cannot be read: {reason}", advice))
            continue
        if not sample.examples:
            advice = "Check its path, and max_length of its reader."
            findings.append(error(f"{place} has no documents.", advice))
            continue
        samples[name] = sample
        part = "" if sample.is_whole else f", the first of about {sample.n_docs:,}"
        n_tokens = sum(map(len, sample.docs))
        findings.append(ok(f"{name}: {len(sample.docs):,} documents{part}, {n_tokens:,} tokens"))
    return samples, findings


def read_sample(plan: Plan, section: dict[str, Any], limit: int) -> Sample:
    """Read the first documents of one corpus, with sentences where a sentencizer sets them."""
    examples = read_examples(plan, section, limit + 1 if limit else 0)
    is_whole = not limit or len(examples) <= limit
    examples = examples if is_whole else examples[:limit]
    for part in plan.parts:
        if part.factory == "sentencizer" and part.annotates:
            for eg in examples:
                eg.predicted = part.pipe(eg.predicted)
    n_docs = len(examples) if is_whole else max(len(examples), count_docs(section))
    return Sample(examples, n_docs, is_whole)


def read_examples(plan: Plan, section: dict[str, Any], limit: int) -> list[Example]:
    """The first examples of a reader; all of them for 0."""
    corpus = registry.resolve({"corpus": section})["corpus"]
    return list(islice(corpus(plan.base), limit or None))


def count_docs(section: dict[str, Any]) -> int:
    """Count the documents in the files of a corpus of spaCy's; 0 for other readers."""
    path = section.get("path")
    if not path or not str(section.get("@readers", "")).startswith("spacy.Corpus"):
        return 0
    return sum(len(DocBin().from_disk(p)) for p in walk_corpus(Path(path), ".spacy"))


def check_lengths(plan: Plan, name: str, section: dict[str, Any], limit: int) -> Iterator[Finding]:
    """Find texts that spaCy's reader leaves out or splits, because they are too long.

    From max_length on, it takes the sentences of a document one by one, where these are annotated,
    each as a document without categories. Else it leaves the document out.
    """
    longest = section.get("max_length", 0)
    if section.get("@readers") != "spacy.Corpus.v1" or not longest or section.get("gold_preproc"):
        return
    examples = read_examples(plan, {**section, "max_length": 0, "augmenter": None}, limit)
    too_long = [eg.reference for eg in examples if len(eg.reference) >= longest]
    if not too_long:
        return
    n_split = sum(
        doc.has_annotation("SENT_START") and any(len(sent) < longest for sent in doc.sents)
        for doc in too_long
    )
    message = (
        f"{name}: {len(too_long):,} of {len(examples):,} documents reach max_length of the reader, "
        f"{longest} tokens: it splits {n_split:,} into sentences, and leaves the others out"
    )
    advice = "Set max_length = 0: windows and batch_pieces bound the memory of long documents."
    tasks = [part.name for part in plan.parts if "textcat" in part.factory]
    if n_split and tasks:
        yield error(f"{message}; sentences have no categories for {tasks} to learn.", advice)
    else:
        yield warning(f"{message}.", advice)


def check_repeated_texts(samples: dict[str, Sample]) -> Iterator[Finding]:
    """Find empty texts, and those that occur twice."""
    texts = {name: [doc.text.strip() for doc in sample.docs] for name, sample in samples.items()}
    for name, found in texts.items():
        kept = [text for text in found if text]
        n_empty, n_twice = len(found) - len(kept), len(kept) - len(set(kept))
        if n_empty:
            yield warning(f"{name}: {n_empty} documents are empty.", "Remove them.")
        if n_twice > 0.05 * len(found):
            yield warning(
                f"{name}: {n_twice} of {len(found)} texts repeat earlier ones.",
                "Remove copies, unless they are as frequent where the pipeline will be used.",
            )
    train, dev = set(texts.get("train", [])), texts.get("dev", [])
    shared = [text for text in dev if text and text in train]
    longer = [text for text in shared if len(text.split()) >= SHORT]
    if longer or len(shared) > 0.05 * len(dev):  # two may write "3 ." without a copy
        shared = longer or shared
        yield warning(
            f"{len(shared)} of {len(dev)} texts of dev are in train too, say {shared[0][:40]!r}.",
            "Split again without copies: scores on dev will be too good.",
        )
