"""The component in a pipeline: what a Doc gets, odd input."""

import numpy as np
import pytest
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb.component import ContextualEmbedder

from ..pipelines import (
    BILM,
    NER_DATA,
    TEXTS,
    TRANSFORMER,
    WIDTH,
    blank,
    initialised,
    vectors,
    with_ner,
)


def test_vectors_do_not_depend_on_the_batch(model):
    nlp = initialised(model)
    together = vectors(nlp)
    alone = [nlp(text).tensor for text in TEXTS]
    again = vectors(nlp, TEXTS[::-1])[::-1]
    for a, b, c in zip(together, alone, again, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_allclose(a, c, atol=1e-5)


def test_sentence_boundaries_are_window_boundaries():
    mix = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}
    nlp = initialised({**BILM, "mix": mix})
    words = "The bank closed . An otter swam .".split()
    two = Doc(nlp.vocab, words=words, sent_starts=[i in (0, 4) for i in range(8)])
    first, second = Doc(nlp.vocab, words=words[:4]), Doc(nlp.vocab, words=words[4:])
    for doc in (two, first, second):
        nlp.get_pipe("ctxemb")(doc)
    np.testing.assert_allclose(two.tensor[:4], first.tensor, atol=1e-6)
    np.testing.assert_allclose(two.tensor[4:], second.tensor, atol=1e-6)


def test_keep_layers(model):
    mix = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}
    nlp = initialised({**model, "mix": mix}, keep="layers")
    plain = initialised({**model, "mix": mix})
    doc = nlp("A bank  of sand.")
    layers = doc._.ctxemb
    assert layers.shape == (3, len(doc), WIDTH)
    assert layers.dtype == np.float32
    np.testing.assert_allclose(layers.mean(axis=0), doc.tensor, atol=1e-6)
    np.testing.assert_allclose(doc.tensor, plain(doc.text).tensor, atol=1e-6)
    with pytest.warns(UserWarning, match="W109"):
        data = doc.to_bytes()
    assert np.array_equal(Doc(nlp.vocab).from_bytes(data)._.ctxemb, layers)


def test_the_context_free_layer_comes_first():
    nlp = initialised(BILM, keep="layers")
    a, b = nlp("river bank"), nlp("savings bank")
    assert np.allclose(a._.ctxemb[0, 1], b._.ctxemb[0, 1], atol=1e-6)
    assert not np.allclose(a._.ctxemb[1, 1], b._.ctxemb[1, 1], atol=1e-4)


def test_keep_none_leaves_nothing_behind():
    nlp = with_ner(keep="none")
    kept = with_ner()
    for text, _ in NER_DATA:
        doc = nlp(text)
        assert doc.tensor.size == 0
        assert doc.user_hooks == {}
        assert [e.label_ for e in doc.ents] == [e.label_ for e in kept(text).ents]
    assert initialised(keep="none")("no listeners").tensor.size == 0


def test_keep_has_three_values():
    with pytest.raises(ValueError, match=r"\[E001\].*keep = 'all' for 'ctxemb'"):
        blank(keep="all")


def test_odd_input(model):
    nlp = initialised(model)
    for text in ["", " ", "\n\n\t ", "x" * 10_000, "👩‍🚀🚀", "\u200b", "ﷺ", "\x00"]:
        doc = nlp(text)
        assert doc.tensor.shape == (len(doc), WIDTH)
        assert np.isfinite(doc.tensor).all()
        for token in doc:
            is_dropped = model is TRANSFORMER and token.text in ("\u200b", "\x00")
            assert token.has_vector != (token.is_space or is_dropped)
    assert [d.tensor.shape for d in nlp.pipe([])] == []


def test_a_long_document_fits_into_a_small_budget(model):
    nlp = initialised({**model, "window": 20, "stride": 15, "batch_pieces": 64})
    wide = initialised({**model, "window": 20, "stride": 15, "batch_pieces": 4096})
    doc = Doc(nlp.vocab, words=[f"w{i % 7}" for i in range(3000)])
    assert doc.tensor.size == 0
    nlp.get_pipe("ctxemb")(doc)
    assert doc.tensor.shape == (3000, WIDTH)
    assert doc.tensor.any(axis=1).all()
    other = wide.get_pipe("ctxemb")(Doc(nlp.vocab, words=[t.text for t in doc]))
    np.testing.assert_allclose(doc.tensor, other.tensor, atol=1e-5)


def test_counts():
    nlp = initialised(BILM)
    pipe = nlp.get_pipe("ctxemb")
    before = pipe.counts.copy()
    list(nlp.pipe(["two words", " ", "x" * 60]))
    assert pipe.counts - before == {
        "documents": 3, "tokens": 4, "tokens_without_pieces": 1, "pieces": 3,
        "lossy_pieces": 1, "windows": 2,
    }  # fmt: skip


def test_the_factory_says_what_it_assigns():
    meta = Language.get_factory_meta("ctxemb")
    names = ("", "_boundaries", "_pieces", "_pooled", "_attention", "_states")
    assert set(meta.assigns) == {"doc.tensor", *(f"doc._.ctxemb{name}" for name in names)}
    nlp = initialised()
    assert isinstance(nlp.get_pipe("ctxemb"), ContextualEmbedder)
    assert nlp.analyze_pipes()["problems"]["ctxemb"] == []
