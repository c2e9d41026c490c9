"""The first documents of the corpora, as training reads them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.corpus import walk_corpus
from spacy.util import dot_to_object, registry

from .build_parts import Plan
from .findings import Finding, error, ok, warning
from .which_texts_are_lost import check_lengths

#: Rule-based components that set sentences, and need nothing learned for it.
SENTENCE_RULES = ("sentencizer",)


class Sample(NamedTuple):
    """Of a corpus. n_docs: documents in all, about; as many as examples where these are all.

    is_whole: whether examples are all there are.
    """

    name: str
    examples: list[Example]
    n_docs: int
    is_whole: bool

    @property
    def docs(self) -> list[Doc]:
        """What the encoder sees."""
        return [eg.predicted for eg in self.examples]


def read_samples(plan: Plan, limit: int) -> tuple[dict[str, Sample], list[Finding]]:
    """Of training and development, by these names. limit: documents of each; 0 for all."""
    samples: dict[str, Sample] = {}
    findings: list[Finding] = []
    for name in ("train", "dev"):
        place = plan.training[f"{name}_corpus"]
        try:
            sample = read_sample(plan, name, place, limit)
            findings.extend(check_lengths(plan, name, limit))
        except (ValueError, OSError, KeyError) as reason:
            advice = f"Correct [{place}], or pass --paths.{name}."
            findings.append(error(f"{place} cannot be read: {reason}", advice))
            continue
        if not sample.examples:
            advice = "Check its path, and max_length of its reader."
            findings.append(error(f"{place} has no documents.", advice))
            continue
        samples[name] = sample
        findings.append(ok(describe(sample)))
    return samples, findings


def read_sample(plan: Plan, name: str, place: str, limit: int) -> Sample:
    """The first documents of one corpus, with sentences where a rule sets them."""
    section = dot_to_object(plan.config, place)
    corpus = registry.resolve({"corpus": section})["corpus"]
    examples = list(islice(corpus(plan.base), limit + 1 if limit else None))
    is_whole = not limit or len(examples) <= limit
    examples = examples if is_whole else examples[:limit]
    for part in plan.parts:
        if part.factory in SENTENCE_RULES and part.annotates:
            for eg in examples:
                eg.predicted = part.pipe(eg.predicted)
    n_docs = len(examples) if is_whole else max(len(examples), count_docs(section))
    return Sample(name, examples, n_docs, is_whole)


def count_docs(section: dict[str, Any]) -> int:
    """Documents in the files of a corpus, where they are spaCy's; else 0."""
    path = section.get("path")
    if not path or not str(section.get("@readers", "")).startswith("spacy.Corpus"):
        return 0
    return sum(len(DocBin().from_disk(p)) for p in walk_corpus(Path(path), ".spacy"))


def describe(sample: Sample) -> str:
    """How much text there is."""
    n_tokens = sum(map(len, sample.docs))
    part = "" if sample.is_whole else f", the first of about {sample.n_docs:,}"
    return f"{sample.name}: {len(sample.docs):,} documents{part}, {n_tokens:,} tokens"


def check_texts(samples: dict[str, Sample]) -> Iterator[Finding]:
    """Texts that are there twice, and empty ones."""
    texts = {name: [doc.text.strip() for doc in sample.docs] for name, sample in samples.items()}
    for name, found in texts.items():
        n_empty = sum(not text for text in found)
        if n_empty:
            yield warning(f"{name}: {n_empty} documents are empty.", "Remove them.")
        n_twice = count_repeated(found)
        if n_twice > 0.05 * len(found):
            yield warning(
                f"{name}: {n_twice} of {len(found)} texts repeat earlier ones.",
                "Remove copies, unless they are as frequent where the pipeline will be used.",
            )
    if len(texts) == 2:
        yield check_overlap(set(texts["train"]), texts["dev"])


def count_repeated(texts: Iterable[str]) -> int:
    """Texts that are not empty and were there before."""
    kept = [text for text in texts if text]
    return len(kept) - len(set(kept))


def check_overlap(train: set[str], dev: list[str]) -> Finding:
    """Texts of development that training has seen make scores too good."""
    shared = [text for text in dev if text and text in train]
    if not shared:
        return ok("train and dev share no text")
    return warning(
        f"{len(shared)} of {len(dev)} texts of dev are in train too, say {shared[0][:40]!r}.",
        "Split again without copies: scores on dev will be too good.",
    )
