"""The project's own corpus with annotations for every task, as .spacy files."""

from itertools import groupby
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

CORPUS = Path(__file__).parent / "corpus" / "ner"


def read_sentences(part: str) -> list[list[list[str]]]:
    """Words and tags of each sentence of a file."""
    lines = (CORPUS / f"{part}.conll").read_text(encoding="utf8").splitlines()
    groups = groupby(lines, key=lambda line: bool(line.strip()))
    return [[line.split("\t") for line in group] for is_text, group in groups if is_text]


def build_doc(sentence: list[list[str]], vocab: Vocab) -> Doc:
    """Entities are those of the corpus; everything else is a rule that can be learned."""
    words = [word for word, _ in sentence]
    kinds = [
        "NAME" if word[0].isupper() else "WORD" if word.isalpha() else "SIGN" for word in words
    ]
    root = len(words) // 2
    pos = {"NAME": "PROPN", "WORD": "NOUN", "SIGN": "PUNCT"}
    doc = Doc(
        vocab,
        words=words,
        tags=kinds,
        pos=[pos[kind] for kind in kinds],
        morphs=[f"Kind={kind.title()}" for kind in kinds],
        heads=[root] * len(words),
        deps=["ROOT" if i == root else kind.lower() for i, kind in enumerate(kinds)],
        ents=[tag for _, tag in sentence],
    )
    doc.spans["sc"] = [Span(doc, e.start, e.end, label=e.label_) for e in doc.ents if len(e) < 4]
    doc.cats = {"named": float(bool(doc.ents)), "plain": float(not doc.ents)}
    return doc


def write_corpus(folder: Path, *, limit: int | None = None) -> dict[str, str]:
    """Write train.spacy and dev.spacy; returns their paths as overrides of a config.

    limit: documents of each.
    """
    nlp: Language = spacy.blank("en")
    for part in ("train", "dev"):
        docs = [build_doc(sentence, nlp.vocab) for sentence in read_sentences(part)[:limit]]
        DocBin(docs=docs, store_user_data=True).to_disk(folder / f"{part}.spacy")
    return {f"paths.{part}": str(folder / f"{part}.spacy") for part in ("train", "dev")}
