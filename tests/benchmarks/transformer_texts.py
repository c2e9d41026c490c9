"""Documents for transformer_speed.py: short and long ones, from text with a sentence a line."""

import bz2
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path


def read_sets(path: Path, words: int) -> dict[str, list[str]]:
    """Short and long documents, from documents in a random order that is always the same."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    sources = [doc for file in files if file.is_file() for doc in read_documents(file)]
    random.Random(0).shuffle(sources)
    short = (cut for doc in sources for cut in cut_sentences(doc))
    long = (cut_document(doc, 1000 + 250 * (i % 5)) for i, doc in enumerate(sources))
    sets = {
        "short": take_words(short, words),
        "long": take_words((doc for doc in long if len(doc.split()) >= 1000), words),
    }
    for name, docs in sets.items():
        if not docs:
            raise SystemExit(f"There are no {name} documents in {path}.")
    return sets


def read_documents(file: Path) -> Iterator[list[str]]:
    """Documents as lists of lines: a sentence a line, a blank line between documents."""
    with bz2.open(file, "rt", encoding="utf8") if file.suffix == ".bz2" else file.open() as lines:
        doc: list[str] = []
        for line in lines:
            if line.strip():
                doc.append(line.strip())
            elif doc:
                yield doc
                doc = []
        if doc:
            yield doc


def cut_sentences(sentences: Sequence[str]) -> Iterator[str]:
    """The start of a document as documents of one, two and three sentences."""
    for start, n in ((0, 1), (1, 2), (3, 3)):
        if sentences[start : start + n]:
            yield " ".join(sentences[start : start + n])


def cut_document(sentences: Sequence[str], words: int) -> str:
    """The first sentences of a document, until they have that many words."""
    kept: list[str] = []
    for sentence in sentences:
        kept.append(sentence)
        words -= len(sentence.split())
        if words <= 0:
            break
    return " ".join(kept)


def take_words(docs: Iterable[str], words: int) -> list[str]:
    """The first documents, until they have that many words."""
    kept = []
    for doc in docs:
        kept.append(doc)
        words -= len(doc.split())
        if words <= 0:
            break
    return kept


def count_words(docs: Iterable[str]) -> int:
    return sum(len(doc.split()) for doc in docs)
