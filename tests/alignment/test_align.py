"""`spacy_ctxemb.align`: pairs of tokens."""

import sys
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_ctxemb import align, attach
from spacy_ctxemb.alignment import methods
from spacy_ctxemb.alignment.methods import METHODS, argmax, itermax, match

NLP = spacy.blank("en")

#: A vector of length 1 for each angle in degrees, so that cosines are known.
ANGLES = ([0, 40, 90, 130], [5, 50, 60, 85])


def turn(degrees: Any) -> np.ndarray:
    radians = np.deg2rad(np.array(degrees, dtype="f8"))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def make(words: list[str], vectors: Any) -> Doc:
    doc = Doc(NLP.vocab, words=words)
    doc.tensor = np.array(vectors, dtype="f").reshape(len(words), -1)
    return attach(doc)


def test_by_hand() -> None:
    """Angles apart: rows are the first Doc's, 0: 5 50 60 85, 40: 35 10 20 45, 90: 85 40 30 5,
    130: 125 80 70 45. The last row and the third column are left after the first round."""
    X, Y = map(turn, ANGLES)
    assert argmax(X, Y) == {(0, 0), (1, 1), (2, 3)}
    # 130 and 60 are both free, and nearer to others: 130 to 85, 0.9 * (1 + cos 45) / 2 = 0.768
    # against (1 + cos 70) / 2 = 0.671; 60 to 40, 0.9 * (1 + cos 20) / 2 = 0.873. But 60 is the best
    # of 40's row, whose own partner is 50: a pair; 85 is 130's best, and 130 is 85's, a pair.
    assert itermax(X, Y) == {(0, 0), (1, 1), (2, 3), (1, 2), (3, 3)}
    # 130 with 85 and 90 with 60, since together they are nearer than 90 with 85 and 130 with 60:
    # cos 45 + cos 30 = 1.573 against cos 5 + cos 70 = 1.338
    assert match(X, Y) == {(0, 0), (1, 1), (2, 2), (3, 3)}


def unroll(S: np.ndarray, n_rounds: int = 2, alpha: float = 0.9) -> set[tuple[int, int]]:
    """Algorithm 1 of the paper, cell by cell."""
    A = np.zeros_like(S)
    for _ in range(n_rounds):
        M = np.ones_like(S)
        for i, j in np.ndindex(S.shape):
            has_row, has_column = A[i].any(), A[:, j].any()
            M[i, j] = 0 if has_row and has_column else alpha if has_row or has_column else 1
        W = S * M
        for i, j in np.ndindex(S.shape):
            if W[i, j] > 0 and j == W[i].argmax() and i == W[:, j].argmax():
                A[i, j] = 1
    return {(int(i), int(j)) for i, j in zip(*np.nonzero(A), strict=True)}


def draw(m: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rows = [generator.normal(size=(size, 5)) for size in (m, n)]
    X, Y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in rows)
    return X, Y


SIZES = st.integers(1, 12)


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES, st.integers(0, 999))
def test_what_always_holds(m: int, n: int, seed: int) -> None:
    X, Y = draw(m, n, seed)
    found = {name: method(X, Y) for name, method in METHODS.items()}
    for name, method in METHODS.items():
        assert {(i, j) for j, i in method(Y, X)} == found[name]
    assert found["argmax"] <= found["itermax"] == unroll((X @ Y.T + 1) / 2)
    assert found["argmax"] == unroll((X @ Y.T + 1) / 2, n_rounds=1)
    for one_to_one in (found["argmax"], found["match"]):
        assert len({i for i, _ in one_to_one}) == len({j for _, j in one_to_one}) == len(one_to_one)
    assert len(found["match"]) == min(m, n)


@pytest.mark.parametrize("name", ["argmax", "itermax"])
def test_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The similarities of long Docs are not held all at once."""
    X, Y = draw(50, 30, 0)
    expected = METHODS[name](X, Y)
    monkeypatch.setattr(methods, "BLOCK", 100)
    assert METHODS[name](X, Y) == expected


def test_a_doc_and_itself() -> None:
    doc = make(["river", "bank", "money"], turn([0, 30, 90]))
    for method in METHODS:
        found = align(doc, doc, method)
        assert [(one.a.i, one.b.i) for one in found] == [(0, 0), (1, 1), (2, 2)]
        assert [one.score for one in found] == pytest.approx([1.0] * 3)
        assert found.to_pharaoh() == "0-0 1-1 2-2"


def test_white_space_and_tokens_without_vectors() -> None:
    a = make(["the", " ", "bank"], [[0, 0], [1, 0], [1, 0]])
    b = make(["\n", "bank"], [[1, 0], [1, 0]])
    for method in METHODS:
        assert align(a, b, method).to_pharaoh() == "2-1"


def test_scores_are_cosines_whatever_the_length_of_vectors() -> None:
    a, b = make(["bank"], [[3, 0]]), make(["banks"], [[2, 2]])
    (pair,) = align(a, b)
    assert (pair.a.text, pair.b.text) == ("bank", "banks")
    assert pair.score == pytest.approx(np.sqrt(0.5))


def test_static_vectors_of_any_pipeline() -> None:
    nlp = spacy.blank("en")
    for word, vector in zip(["cat", "dog"], turn([0, 90]), strict=True):
        nlp.vocab.set_vector(word, vector.astype("f"))
    assert align(nlp("cat dog"), nlp("dog , cat")).to_pharaoh() == "0-2 1-0"


def test_nothing_to_align() -> None:
    doc = make(["bank"], [[1, 0]])
    for method in METHODS:
        assert align(doc, NLP(""), method) == [] == align(NLP("  \n"), doc, method)


def test_docs_that_cannot_be_aligned() -> None:
    doc = make(["bank"], [[1, 0]])
    with pytest.raises(
        ValueError, match="E750.*the second Doc have no vectors: 2 tokens, 'a bank'"
    ):
        align(doc, NLP("a bank"))
    with pytest.raises(ValueError, match="E750.*the first Doc"):
        align(NLP("a bank"), doc)
    with pytest.raises(ValueError, match="E751.*widths 2 and 3"):
        align(doc, make(["bank"], [[1, 0, 0]]))
    with pytest.raises(ValueError, match=r"E752.*'best'.*\['argmax', 'itermax', 'match'\]"):
        align(doc, doc, "best")


def test_a_match_of_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "LARGEST_MATCH", 5)
    with pytest.raises(ValueError, match="E754.*3 by 2 tokens have more than 5"):
        match(*draw(3, 2, 0))


def test_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r'E753.*pip install "spacy-ctxemb\[align\]"'):
        match(*draw(3, 2, 0))
