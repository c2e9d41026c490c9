"""Documents that are too long for max_length of the reader."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_ctxemb.doctor.build_components import Plan, read_plan
from spacy_ctxemb.doctor.findings import Level
from spacy_ctxemb.doctor.read_samples import read_samples

from .configs import build_config, embedder, errors, warnings

NER = {"ctxemb": embedder(), "ner": {"factory": "ner"}}


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    """Documents of 4, 8 and 12 tokens; the last has sentences, of 3 and 9."""
    nlp = spacy.blank("xx")
    docs = [nlp.make_doc("word " * n) for n in (4, 8, 12)]
    for token in docs[2]:
        token.is_sent_start = token.i in (0, 3)
    for doc in docs:
        doc.cats = {"money": 1.0, "nature": 0.0}
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "texts.spacy")
    return str(tmp_path / "texts.spacy")


def plan(corpus: str, longest: int, components: dict[str, Any] | None = None) -> Plan:
    config = build_config(components, corpora={"train": corpus, "dev": corpus})
    config["corpora"]["train"]["max_length"] = longest
    return read_plan(config)


def test_documents_that_are_left_out_or_split(corpus: str) -> None:
    samples, found = read_samples(plan(corpus, 6, NER), 0)
    assert [len(doc) for doc in samples["train"].docs] == [4, 3]
    assert len(samples["dev"].docs) == 3
    assert warnings(found) == [
        "train: 2 of 3 documents reach max_length of the reader, 6 tokens: it splits 1 into "
        "sentences, and leaves the others out."
    ]
    assert not errors(found)


def test_the_length_itself_is_too_long(corpus: str) -> None:
    """spaCy reads what is shorter."""
    _, found = read_samples(plan(corpus, 9, NER), 0)
    assert len(warnings(found)) == 1
    samples, found = read_samples(plan(corpus, 8, NER), 2)
    assert [len(doc) for doc in samples["train"].docs] == [4, 3]
    assert warnings(found)[0].startswith("train: 1 of 2 documents reach max_length of the reader")


def test_categories_are_lost(corpus: str) -> None:
    samples, found = read_samples(plan(corpus, 12), 0)
    assert [eg.reference.cats for eg in samples["train"].examples][2] == {}
    assert errors(found) == [
        "train: 1 of 3 documents reach max_length of the reader, 12 tokens: it splits 1 into "
        "sentences, and leaves the others out; sentences have no categories for ['textcat'] to "
        "learn."
    ]
    _, found = read_samples(plan(corpus, 500), 0)
    assert not errors(found) and not warnings(found)


def test_nothing_is_left_of_a_corpus(corpus: str) -> None:
    _, found = read_samples(plan(corpus, 2, NER), 0)
    assert "train: 3 of 3 documents reach max_length of the reader, 2 tokens" in warnings(found)[0]
    assert errors(found) == ["corpora.train has no documents."]


@pytest.mark.parametrize("components", [None, NER])
def test_nothing_to_say(corpus: str, components: dict[str, Any] | None) -> None:
    _, found = read_samples(plan(corpus, 0, components), 0)
    assert {one.level for one in found} == {Level.ok}
