"""A token store holds what spaCy's tokenizer and the pieces make of a corpus, however it is made."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language

from spacy_ctxemb.pieces import CharacterPieces
from spacy_ctxemb.pretraining import token_store
from spacy_ctxemb.pretraining.corpus import TextCorpus
from spacy_ctxemb.pretraining.token_store import TokenStore, build_token_store

DOCUMENTS = [
    ["A heron can't swim,  can it?", "It waited - by the river.", "Über 1.000 Fische!"],
    ["She took a loan from the bank."],
    ["He waited.", "He waited again, by the river."],
]


@pytest.fixture(scope="module")
def nlp() -> Language:
    return spacy.blank("en")


def write_sentences(path: Path, documents: Sequence[Sequence[str]] = DOCUMENTS) -> TextCorpus:
    """A corpus of a sentence a line."""
    path.write_text("\n\n".join(map("\n".join, documents)) + "\n", encoding="utf8")
    return TextCorpus(str(path))


def read_words(store: TokenStore) -> list[list[list[str]]]:
    """The words of each sentence of each document."""
    words = [store.types[i] for i in store.ids]
    ends = store.sentence_ends.tolist()
    sentences = [words[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    ends = store.document_ends.tolist()
    return [sentences[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def tokenize(nlp: Language, documents: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    return [[[t.text for t in nlp(s) if not t.is_space] for s in d] for d in documents]


def test_words_are_those_of_the_tokenizer(nlp: Language, tmp_path: Path) -> None:
    corpus = write_sentences(tmp_path / "a.txt")
    store = build_token_store(corpus, nlp, CharacterPieces(12), tmp_path / "store")
    assert read_words(store) == tokenize(nlp, DOCUMENTS)
    assert store.word_starts.all()


def test_types_are_sorted_by_frequency(nlp: Language, tmp_path: Path) -> None:
    corpus = write_sentences(tmp_path / "a.txt")
    pieces = CharacterPieces(12)
    store = build_token_store(corpus, nlp, pieces, tmp_path / "store")
    counts = Counter(w for d in tokenize(nlp, DOCUMENTS) for s in d for w in s)
    assert store.types == sorted(counts, key=lambda word: (-counts[word], word))
    assert store.type_counts.tolist() == sorted(counts.values(), reverse=True)
    np.testing.assert_array_equal(store.type_characters, pieces.encode_words(store.types))


def test_chunks_and_processes_change_nothing(
    nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_sentences(tmp_path / "a.txt")
    pieces = CharacterPieces(12)
    whole = build_token_store(corpus, nlp, pieces, tmp_path / "whole")
    # Chunks of about a sentence, so that documents go on in further chunks.
    monkeypatch.setattr(token_store, "CHUNK", 6)
    for n_workers in (0, 2):
        store = build_token_store(
            corpus, nlp, pieces, tmp_path / f"{n_workers}", n_workers=n_workers
        )
        for path in whole.folder.glob("*.npy"):
            np.testing.assert_array_equal(np.load(path), np.load(store.folder / path.name))
        assert store.types == whole.types
