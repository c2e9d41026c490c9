"""Static vectors of the vocabulary as a model of one matrix a Doc."""

from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vectors import Vectors
from spacy.vocab import Vocab
from thinc.api import SGD, fix_random_seed

from spacy_ctxemb.stack.static_vectors import build_static_vectors

WORDS = ["river", "bank", "money", " ", "otter"]


def fill(vocab: Vocab, *, width: int = 5) -> Vocab:
    """Give a vocabulary vectors of a few words, of white space too."""
    generator = np.random.default_rng(0)
    for word in WORDS:
        vocab.set_vector(word, generator.normal(size=width).astype("float32"))
    return vocab


@pytest.fixture
def vocab() -> Vocab:
    return fill(spacy.blank("en").vocab)


def make_docs(vocab: Vocab) -> list[Doc]:
    texts = (["river", "bank"], [], ["unheard", " ", "money"], ["bank"], [" "])
    return [Doc(vocab, words=words) for words in texts]


def project(vocab: Vocab, **settings: Any) -> Any:
    """A model with a projection to 3 columns."""
    fix_random_seed(0)
    model = build_static_vectors(width=3, **settings)
    model.initialize(X=make_docs(vocab))
    return model


def expect(vocab: Vocab, doc: Doc) -> np.ndarray[Any, Any]:
    """What a plain loop makes of a Doc."""
    known = [token.text in WORDS and not token.is_space for token in doc]
    rows = [
        vocab.get_vector(token.text) if is_known else np.zeros(5, "float32")
        for token, is_known in zip(doc, known, strict=True)
    ]
    return np.array(rows, "float32").reshape(-1, 5)


def test_rows_as_they_are(vocab: Vocab) -> None:
    model = build_static_vectors(width=5, project=False)
    docs = make_docs(vocab)
    for found, doc in zip(model.predict(docs), docs, strict=True):
        np.testing.assert_array_equal(found, expect(vocab, doc))
    assert model.param_names == ()


def test_a_linear_projection(vocab: Vocab) -> None:
    model = project(vocab)
    docs = make_docs(vocab)
    for found, doc in zip(model.predict(docs), docs, strict=True):
        assert found.shape == (len(doc), 3)
        expected = expect(vocab, doc) @ model.get_param("W").T
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_no_tokens_at_all() -> None:
    empty = Doc(spacy.blank("en").vocab)
    for model in (build_static_vectors(width=5, project=False), build_static_vectors(width=5)):
        vectors, backprop = model.begin_update([empty, empty])
        assert [y.shape for y in vectors] == [(0, 5), (0, 5)]
        assert backprop(vectors) == []
        assert model.predict([]) == []


def test_the_table_is_not_written_to(vocab: Vocab) -> None:
    before = vocab.vectors.data.copy()
    model = build_static_vectors(width=5, project=False)
    for found in model.predict(make_docs(vocab)):
        found += 1
    np.testing.assert_array_equal(vocab.vectors.data, before)


def test_a_floret_table_has_vectors_of_all_words() -> None:
    nlp = spacy.blank("en")
    data = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    nlp.vocab.vectors = Vectors(
        data=data, strings=nlp.vocab.strings, mode="floret", minn=2, maxn=3, hash_count=2
    )
    doc = Doc(nlp.vocab, words=["unheard", " ", "river"])
    (found,) = build_static_vectors(width=5, project=False).predict([doc])
    np.testing.assert_array_equal(found[0], nlp.vocab.get_vector("unheard"))
    np.testing.assert_array_equal(found[2], nlp.vocab.get_vector("river"))
    assert found[0].any()
    assert not found[1].any()


def test_words_may_be_looked_up_in_another_form() -> None:
    nlp = spacy.blank("en")
    nlp.vocab.vectors = Vectors(
        data=np.eye(2, dtype="float32"),
        keys=["river", "bank"],
        strings=nlp.vocab.strings,
        attr="LOWER",
    )
    model = build_static_vectors(width=2, project=False)
    (found,) = model.predict([Doc(nlp.vocab, words=["BANK", "River"])])
    np.testing.assert_array_equal(found, [[0, 1], [1, 0]])


def test_gradient_equals_finite_differences(vocab: Vocab) -> None:
    model = project(vocab)
    docs = make_docs(vocab)
    vectors, backprop = model.begin_update(docs)
    generator = np.random.default_rng(1)
    factors = [generator.normal(size=y.shape).astype("float32") for y in vectors]
    backprop(factors)
    gradient = model.get_grad("W").copy()
    direction = generator.normal(size=gradient.shape).astype("float32")
    weights = model.get_param("W").copy()
    losses = []
    for sign in (1, -1):  # linear, so that the step may be large
        model.set_param("W", weights + sign * direction)
        losses.append(sum((y * f).sum() for y, f in zip(model.predict(docs), factors, strict=True)))
    assert (losses[0] - losses[1]) / 2 == pytest.approx(float((gradient * direction).sum()), 1e-4)


def test_only_a_projection_learns(vocab: Vocab) -> None:
    before = vocab.vectors.data.copy()
    for model, learns in (
        (project(vocab), True),
        (build_static_vectors(width=5, project=False), False),
    ):
        docs = make_docs(vocab)
        vectors, backprop = model.begin_update(docs)
        backprop([y * 0 + 1 for y in vectors])
        model.finish_update(SGD(0.1))
        changed = any(
            not np.array_equal(a, b) for a, b in zip(vectors, model.predict(docs), strict=True)
        )
        assert changed == learns
    np.testing.assert_array_equal(vocab.vectors.data, before)


def test_bytes_and_copies(vocab: Vocab) -> None:
    model = project(vocab)
    docs = make_docs(vocab)
    for twin in (build_static_vectors(width=3).from_bytes(model.to_bytes()), model.copy()):
        for a, b in zip(twin.predict(docs), model.predict(docs), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_vocabulary_without_vectors() -> None:
    nlp: Language = spacy.blank("en")
    docs = [nlp.make_doc("two words")]
    message = r"\[E047\].*\[initialize\] vectors"
    with pytest.raises(ValueError, match=message):
        build_static_vectors(width=3).initialize(X=docs)
    with pytest.raises(ValueError, match=message):
        build_static_vectors(width=3, project=False).predict(docs)


def test_vectors_of_another_width(vocab: Vocab) -> None:
    message = r"\[E048\] .* width 5, StaticVectors expects 4\..* its width, or set project = true"
    with pytest.raises(ValueError, match=message):
        build_static_vectors(width=4, project=False).initialize(X=make_docs(vocab))
    model = project(vocab)
    other = fill(spacy.blank("en").vocab, width=7)
    with pytest.raises(ValueError, match=r"\[E048\] .* width 7, StaticVectors expects 5\."):
        model.predict(make_docs(other))
    model.initialize(X=make_docs(other))
    assert model.predict(make_docs(other))[0].shape == (2, 3)


def test_a_projection_without_values(vocab: Vocab) -> None:
    with pytest.raises(RuntimeError, match=r"\[E008\]"):
        build_static_vectors(width=3).predict(make_docs(vocab))
