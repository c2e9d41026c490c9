"""Vectors of words are those of the pipeline, and senses are told by them."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ..pipelines import BILM, initialised
from .sense_scores import Items
from .word_senses import Encode, Occurrence, load, read_rows, score_pairs, score_senses, summarise

TEXTS = ["I sat on the steep bank .", "Money in the bank ; a loan .", "The bank ."]


@pytest.fixture(scope="module")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Encode:
    folder = tmp_path_factory.mktemp("pipeline")
    initialised(BILM).to_disk(folder)
    return Encode(load(folder, "ctxemb"), None, splits=False)


def find_bank(text: str) -> Occurrence:
    return Occurrence(text.split(), text.split().index("bank"))


def test_representations_are_those_of_the_doc(encode: Encode) -> None:
    found = encode([find_bank(text) for text in TEXTS])
    assert list(found) == ["layer 0 word", "layer 0 bag", "layer 1", "layer 2", "mix"]
    docs = [encode.nlp(encode._make_doc(find_bank(text))) for text in TEXTS]
    for row, (doc, text) in enumerate(zip(docs, TEXTS, strict=True)):
        index = text.split().index("bank")
        np.testing.assert_allclose(found["layer 2"][row], doc._.ctxemb[2, index], rtol=1e-5)
        np.testing.assert_allclose(found["mix"][row], doc.tensor[index], rtol=1e-5)
        others = [i for i in range(len(doc)) if i != index]
        bag = doc._.ctxemb[0, others].mean(axis=0)
        np.testing.assert_allclose(found["layer 0 bag"][row], bag, rtol=1e-4, atol=1e-6)
    # The context-free vector is the same everywhere, the others are not.
    assert np.ptp(found["layer 0 word"], axis=0).max() == 0
    assert np.ptp(found["layer 1"], axis=0).min() > 0


def test_quotes_are_those_of_plain_text(encode: Encode) -> None:
    doc = encode._make_doc(Occurrence(["``", "bank", "''"], 1))
    assert [token.text for token in doc] == ['"', "bank", '"']


def test_a_word_alone_has_an_empty_bag(encode: Encode) -> None:
    assert not encode([Occurrence(["bank"], 0)])["layer 0 bag"].any()


def test_senses_that_the_context_tells(encode: Encode) -> None:
    """Texts seen in training are found again; the word's own vector cannot tell them."""
    rows = [
        {"tokens": text.split(), "index": text.split().index("bank"), "lemma": "bank", "sense": s}
        for text, s in zip(TEXTS, ["river", "money", "money"], strict=True)
    ]
    found = score_senses(encode, {"train": rows, "dev": rows[:1], "test": rows})
    assert found["items"] == {"train": 3, "dev": 1, "test": 3}
    assert found["most frequent sense"]["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    for name in ("layer 0 bag", "layer 1", "layer 2", "mix"):
        assert found[name]["neighbours"]["k"] == 1
        assert found[name]["neighbours"]["accuracy"] == 1.0
    assert found["layer 0 word"]["centroid"]["accuracy"] < 1.0
    assert found["layer 2"]["centroid"]["lemmas"]["bank"]["items"] == 3


def test_pairs_of_equal_texts_are_told_from_others(encode: Encode) -> None:
    rows = []
    for i, first in enumerate(TEXTS):
        for second in (first, TEXTS[i - 1]):
            one, two = find_bank(first), find_bank(second)
            row = {"tokens1": one.tokens, "index1": one.index}
            row |= {"tokens2": two.tokens, "index2": two.index}
            rows.append({**row, "label": first == second})
    found = score_pairs(encode, {"train": rows, "dev": rows[:2], "test": rows})
    assert found["majority"]["test"] == 0.5
    assert found["layer 0 word"]["test"] == 0.5
    assert found["layer 2"]["threshold"] < 1.0
    assert [found["layer 2"][split] for split in ("train", "dev", "test")] == [1.0] * 3
    ((best, scores),) = found["best by train"].items()
    assert best in ("layer 1", "layer 2", "mix") and scores["train"] == 1.0


def test_accuracies_are_over_all_and_by_lemma() -> None:
    items = Items(["a", "b", "a", "a"], list("wxyz"))
    found = summarise(items, np.array([True, False, True, False]))
    assert (found["accuracy"], found["items"], found["standard error"]) == (0.5, 4, 0.25)
    assert found["lemmas"] == {
        "a": {"accuracy": 0.6667, "items": 3},
        "b": {"accuracy": 0.0, "items": 1},
    }


def test_a_limit_takes_rows_from_the_whole_file(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "dev.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"n": n}) + "\n" for n in range(10))
    assert [row["n"] for row in read_rows(tmp_path, "dev", 4)] == [0, 3, 6, 9]
    assert len(read_rows(tmp_path, "dev", None)) == 10
