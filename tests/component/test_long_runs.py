"""A pipeline that runs for long keeps nothing of the Docs that have passed."""

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from spacy.language import Language

from ..pipelines import BILM, TEXTS, TRANSFORMER, initialised, vectors, with_ner

CACHE = {"@misc": "spacy-ctxemb.FeatureCache.v1", "max_megabytes": 1}

SETTINGS: list[dict[str, Any]] = [
    {},
    {"keep": "layers", "keep_pieces": True},
    {"boundaries": True, "doc_pooling": "cls"},
    {"keep": "none"},
    {"cache": CACHE},
]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_docs_go_at_once(settings: dict[str, Any]) -> None:
    """Not only when the collector looks for cycles: vectors are large, and objects few."""
    top = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 2}
    nlp = with_ner({**TRANSFORMER, "mix": top}, **settings)
    list(nlp.pipe(TEXTS))
    known: list[weakref.ref[Any]] = []
    for doc in nlp.pipe(TEXTS * 4, batch_size=3):
        _ = doc.vector, doc[:1].vector
        known += [weakref.ref(doc)]
        if isinstance(doc.tensor, np.ndarray) and doc.tensor.size:
            known.append(weakref.ref(doc.tensor))
    del doc, _
    list(nlp.pipe(["another"]))  # spaCy's listeners hold the last batch
    alive = [one() for one in known if one() is not None]
    assert not alive


@pytest.mark.parametrize("settings", [{}, {"keep": "layers"}], ids=str)
def test_memory_of_more_texts(model: dict[str, Any], settings: dict[str, Any]) -> None:
    """Bytes of Python and NumPy, after some texts and after three times as many. A Doc that stays
    would take more than 1,000; small caches of both libraries fill meanwhile."""
    nlp = initialised(model, **settings)
    tracemalloc.start()
    try:
        held = []
        for n in (100, 100, 300):
            texts = ["one river", "a bank of the river", "money"] * n
            for _ in nlp.pipe(texts, batch_size=50):
                pass
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[2] - held[1] < 100_000


def build_pipelines() -> list[Language]:
    return [initialised(BILM), with_ner(TRANSFORMER), initialised(TRANSFORMER, cache=CACHE)]


@pytest.mark.parametrize("place", range(3), ids=["bilm", "ner", "cache"])
def test_a_memory_zone(place: int) -> None:
    """Vectors are the same inside, and its words are forgotten with its Docs."""
    nlp = build_pipelines()[place]
    texts = ["Zanzibarish herons nested.", *TEXTS, "herons"]
    expected = vectors(build_pipelines()[place], texts)
    for _ in range(2):
        n_strings = len(nlp.vocab.strings)
        with nlp.memory_zone():
            docs = list(nlp.pipe(texts))
            assert "Zanzibarish" in nlp.vocab.strings
            found = [doc.tensor for doc in docs]
            of_token: Any = docs[0][0].vector
        assert "Zanzibarish" not in nlp.vocab.strings  # so its Docs have lost their words
        assert len(nlp.vocab.strings) == n_strings
        del docs
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_allclose(of_token, expected[0][0], atol=1e-5)
