"""Nearest uses of a word, its groups and its places, beside plain computation."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
from numpy.testing import assert_allclose
from spacy.language import Language

from spacy_ctxemb.explanation import explain, find_neighbours, map_senses
from spacy_ctxemb.explanation.groups import group_vectors

from ..cli.test_report import SENSES
from ..pipelines import BILM, initialised

ROWS = list(srsly.read_jsonl(SENSES))
CORPUS = [row["text"] for row in ROWS]


@pytest.fixture(scope="module")
def nlp() -> Language:
    return initialised(BILM)


def cosine(x: Any, y: Any) -> float:
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def test_neighbours_are_those_of_a_plain_loop(nlp: Language) -> None:
    docs = list(nlp.pipe(CORPUS))
    token = docs[1][3]
    found = find_neighbours(nlp, token, docs, n=5)
    others = [other for doc in docs for other in doc if (doc, other.i) != (token.doc, 3)]
    expected = sorted(others, key=lambda other: -cosine(other.vector, token.vector))[:5]
    assert_allclose(
        [one.score for one in found],
        [cosine(other.vector, token.vector) for other in expected],
        atol=1e-5,
    )
    assert found[0].token.text == expected[0].text
    assert f"<b>{expected[0].text}</b>" in found._repr_html_()


def test_a_corpus_may_be_texts_or_docs(nlp: Language) -> None:
    token = nlp("She came in spring.")[3]
    bare = [nlp.make_doc(text) for text in CORPUS]
    some: list[Any] = [list(CORPUS), iter(CORPUS), bare, list(nlp.pipe(CORPUS))]
    scores = [[one.score for one in find_neighbours(nlp, token, each)] for each in some]
    for other in scores[1:]:
        assert_allclose(other, scores[0], atol=1e-5)
    assert not any(doc.tensor.size for doc in bare)  # read as copies


def test_other_vectors_will_do() -> None:
    nlp = spacy.blank("en")
    for i, word in enumerate(["river", "bank", "money"]):
        nlp.vocab.set_vector(word, np.array([1.0, i, 0.0], dtype="f"))
    (first, *_) = find_neighbours(nlp, nlp("bank")[0], ["unknown river money"])
    assert first.token.text == "money"


def test_senses_are_told_apart() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb")
    nlp.initialize()
    senses = map_senses(nlp, "Spring", CORPUS)
    gold = [row["sense"] for row in ROWS]
    assert len(senses.uses) == 12 and senses.points.shape == (12, 2)
    pairs = list(zip(gold, senses.groups.tolist(), strict=True))
    assert sum(pairs.count(pair) for pair in (("season", 1), ("coil", 0))) >= 11
    vectors = np.stack([token.vector for token in senses.uses])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    spread = np.linalg.svd(unit - unit.mean(axis=0), compute_uv=False)
    assert_allclose(np.linalg.norm(senses.points, axis=0), spread[:2], rtol=1e-4)
    assert 'aria-label="Group 1: ' in senses._repr_html_()


def test_many_uses_are_thinned_out(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spacy_ctxemb.explanation.sense_map.MOST_USES", 4)
    docs = list(nlp.pipe(CORPUS))
    senses = map_senses(nlp, "spring", docs)
    every = [token for doc in docs for token in doc if token.lower_ == "spring"]
    assert [token.doc for token in senses.uses] == [every[i].doc for i in (0, 3, 7, 11)]
    assert senses.n_found == 12 and "4 of 12 uses on a plane" in senses._repr_html_()


def test_a_doc_whose_first_token_has_no_vector() -> None:
    nlp = spacy.blank("en")
    nlp.vocab.set_vector("bank", np.array([1.0, 2.0], dtype="f"))
    doc = nlp("the bank")
    (first, *_) = find_neighbours(nlp, nlp("bank")[0], [doc])
    assert first.token.doc is doc


def test_groups_of_plain_clusters() -> None:
    rng = np.random.default_rng(0)
    for k in (2, 3, 4):
        centres = np.eye(8)[:k] * 5
        names = np.repeat(np.arange(k), np.arange(k, 0, -1) * 4)
        vectors = centres[names] + rng.normal(0, 0.2, (len(names), 8))
        assert group_vectors(vectors).tolist() == names.tolist()
    assert len(set(group_vectors(vectors, 7).tolist())) == 7
    assert group_vectors(np.ones((5, 3))).tolist() == [0] * 5  # equal vectors are one group
    assert group_vectors(np.eye(3), 1).tolist() == [0] * 3


def test_umap_is_used_where_it_is_installed(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    class Umap:
        def __init__(self, **settings: Any) -> None:
            assert settings["n_neighbors"] == 11 and settings["random_state"] == 0

        def fit_transform(self, vectors: Any) -> Any:
            return vectors[:, :2] * 7

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    found = map_senses(nlp, "spring", CORPUS, plane="umap")
    assert_allclose(
        np.linalg.norm(found.uses[0].vector) * found.points[0] / 7,
        found.uses[0].vector[:2],
        rtol=1e-4,
    )
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"\[E746\].*spacy-ctxemb\[umap\]"):
        map_senses(nlp, "spring", CORPUS, plane="umap")


def test_words_and_corpora_that_will_not_do(nlp: Language) -> None:
    token = nlp("in spring")[1]
    faults: list[tuple[str, Any]] = [
        (r"\[E742\] The corpus has no words", lambda: find_neighbours(nlp, token, [])),
        (r"\[E742\]", lambda: find_neighbours(nlp, token, ["", " \n"])),
        (r"\[E749\] corpus is 'one text'", lambda: find_neighbours(nlp, token, "one text")),
        (r"\[E749\] a text of the corpus is of type int", lambda: map_senses(nlp, "a", [3])),  # type: ignore[list-item]
        (r"\[E749\] corpus is None", lambda: find_neighbours(nlp, token, None)),  # type: ignore[arg-type]
        (r"\[E749\] token is of type str", lambda: find_neighbours(nlp, "a", CORPUS)),  # type: ignore[arg-type]
        (r"\[E749\] n is '3'", lambda: find_neighbours(nlp, token, CORPUS, n="3")),  # type: ignore[arg-type]
        (r"\[E749\] word is of type int", lambda: map_senses(nlp, 3, CORPUS)),  # type: ignore[arg-type]
        (r"\[E749\] word is of type int", lambda: explain(nlp, "a", word=3, corpus=CORPUS)),  # type: ignore[arg-type]
        (r"\[E749\] n_groups .*int", lambda: map_senses(nlp, "a", CORPUS, n_groups="2")),  # type: ignore[arg-type]
        (r"\[E749\] n is 0", lambda: find_neighbours(nlp, token, CORPUS, n=0)),
        (r"\[E744\].*'bank' 0 times.*needs 3", lambda: map_senses(nlp, "bank", CORPUS)),
        (
            r"\[E735\] There is no plane 'tsne'.*'pca', 'umap'",
            lambda: map_senses(nlp, "spring", CORPUS, plane="tsne"),
        ),
        (
            r"\[E747\] n_groups is 13.*1 to 12",
            lambda: map_senses(nlp, "spring", CORPUS, n_groups=13),
        ),
        (r"\[E747\] n_groups is 0", lambda: map_senses(nlp, "spring", CORPUS, n_groups=0)),
        (r"\[E741\] The text has no word 'x'", lambda: explain(nlp, "a", word="x", corpus=CORPUS)),
        (r"\[E749\] word is missing", lambda: explain(nlp, "a", corpus=CORPUS)),
        (r"\[E749\] corpus is missing", lambda: explain(nlp, "a", word="a")),
    ]
    for message, call in faults:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.filterwarnings("ignore:.*W007")
def test_no_vectors() -> None:
    nlp = spacy.blank("en")
    with pytest.raises(ValueError, match=r"\[E743\] 'spring' has no vector in 'in spring'"):
        find_neighbours(nlp, nlp("in spring")[1], CORPUS)
    with pytest.raises(ValueError, match=r"\[E743\] 'spring' has no vector"):
        map_senses(nlp, "spring", CORPUS)
