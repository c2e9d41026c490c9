import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.tokens.underscore import Underscore

import spacy_ctxemb

from ..pipelines import BILM, WIDTH, initialised


@pytest.fixture(scope="module")
def nlp():
    return initialised()


@pytest.fixture
def doc(nlp):
    return nlp("I sat on the bank of the river.")


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_token_vectors_are_rows_of_the_tensor(doc):
    assert doc.tensor.shape == (len(doc), WIDTH)
    assert doc.tensor.dtype == np.float32
    for token in doc:
        assert np.array_equal(token.vector, doc.tensor[token.i])
        assert token.has_vector
        assert token.vector_norm == pytest.approx(np.linalg.norm(doc.tensor[token.i]), rel=1e-5)


def test_spans_and_docs_are_means(doc):
    np.testing.assert_allclose(doc[2:5].vector, doc.tensor[2:5].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(doc.vector, doc.tensor.mean(axis=0), rtol=1e-5)
    for tokens in (doc, doc[2:5]):
        assert tokens.has_vector
        assert tokens.vector_norm == pytest.approx(np.linalg.norm(tokens.vector), rel=1e-5)


def test_equal_words_differ_in_different_contexts(nlp, doc):
    other = nlp("I put money in the bank.")
    a, b = doc[4], other[5]
    assert a.text == b.text == "bank"
    assert a.similarity(b) < 0.9999
    assert a.similarity(b) == pytest.approx(cosine(a.vector, b.vector), rel=1e-5)
    assert doc.similarity(other) == pytest.approx(cosine(doc.vector, other.vector), rel=1e-5)
    assert doc[2:5].similarity(b) == pytest.approx(cosine(doc[2:5].vector, b.vector), rel=1e-5)
    assert a.similarity(a) == pytest.approx(1.0)


def test_contextual_vectors_win_over_static_ones(nlp):
    static = spacy.blank("en")
    static.vocab.set_vector("bank", np.ones(WIDTH, dtype="f"))
    static.vocab.set_vector("the", np.ones(WIDTH, dtype="f"))
    static.add_pipe("ctxemb", source=_copy_vectors(nlp, static))
    doc = static("the bank of the bank")
    first, second = doc[1], doc[4]
    assert np.array_equal(first.vector, doc.tensor[1])
    assert not np.array_equal(first.vector, np.ones(WIDTH))
    assert first.similarity(second) < 0.9999
    assert np.allclose(doc[0:2].vector, doc.tensor[0:2].mean(axis=0), atol=1e-6)


def _copy_vectors(nlp, target):
    """spaCy warns when vectors of source and target differ."""
    nlp.vocab.vectors = target.vocab.vectors
    return nlp


def test_white_space_has_no_vector_and_does_not_count():
    doc = initialised()("one  \n\n two")
    (space,) = [token for token in doc if token.is_space]
    assert not space.has_vector
    assert space.vector_norm == 0.0
    assert space.similarity(doc[0]) == 0.0
    words = [token.vector for token in doc if not token.is_space]
    np.testing.assert_allclose(doc.vector, np.mean(words, axis=0), rtol=1e-5)


def test_empty_doc_has_a_zero_vector(nlp):
    doc = nlp("")
    assert doc.tensor.shape == (0, WIDTH)
    assert doc.vector.shape == (WIDTH,)
    assert not doc.has_vector


def test_attach_restores_what_serialisation_lost(nlp, doc):
    with pytest.warns(UserWarning, match="W109"):
        data = doc.to_bytes()
    other = Doc(nlp.vocab).from_bytes(data)
    assert np.array_equal(other.tensor, doc.tensor)
    assert other[4].similarity(other[4]) == 1.0
    restored = spacy_ctxemb.attach(other)
    assert restored is other
    assert restored[4].similarity(doc[1]) == pytest.approx(doc[4].similarity(doc[1]))
    assert np.array_equal(restored[2:5].vector, doc[2:5].vector)


def test_attach_refuses_a_doc_without_vectors(nlp):
    doc = nlp.make_doc("no vectors here")
    with pytest.raises(ValueError, match=r"\[E060\].*3 tokens.*shape \(0,\).*DocBin"):
        spacy_ctxemb.attach(doc)


def test_vectors_of_other_pipelines_cannot_be_compared(doc):
    other = initialised({**BILM, "width": 8})("bank")
    with pytest.raises(ValueError, match=r"\[E061\].*16 and 8"):
        doc[4].similarity(other[0])


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_that_floats_cannot_hold(nlp, scale):
    doc, scaled = nlp("I sat on the bank of the river."), nlp("I sat on the bank of the river.")
    scaled.tensor = scaled.tensor * np.float32(scale)
    assert scaled[0].vector_norm == pytest.approx(scale * doc[0].vector_norm, rel=1e-5)
    assert scaled.similarity(doc) == pytest.approx(1.0)


def test_where_somebody_has_dropped_all_extensions(monkeypatch):
    monkeypatch.setattr(Underscore, "doc_extensions", {})
    doc = initialised(keep="layers")("I sat on the bank of the river.")
    assert np.array_equal(doc[4].vector, doc.tensor[4]) and doc.has_vector
    assert np.array_equal(spacy_ctxemb.elmo_outputs(doc)["elmo"], doc.tensor)
