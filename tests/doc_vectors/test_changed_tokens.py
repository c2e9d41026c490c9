"""Docs that are read, merged and split by turns, and tensors of the user's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb import attach, elmo_outputs

from ..pipelines import (
    BILM,
    NER_DATA,
    TRANSFORMER,
    WIDTH,
    blank,
    examples,
    initialised,
    listener,
    ner_config,
)

TEXT = "Ada met Grace in Lima."
LAST = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}


@pytest.fixture(scope="module")
def nlp() -> Language:
    return initialised({**BILM, "mix": LAST}, keep="layers", keep_pieces=True)


@pytest.fixture(scope="module")
def pooling() -> Language:
    return initialised({**BILM, "mix": LAST}, doc_pooling="mean")


def merge(doc: Doc, start: int, end: int) -> None:
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[start:end])


def split(doc: Doc, i: int) -> None:
    token = doc[i]
    with doc.retokenize() as retokenizer:
        retokenizer.split(token, [token.text[:2], token.text[2:]], heads=[token, token])


def own_rows(n_tokens: int, width: int = 7) -> NDArray[np.float32]:
    return np.arange(1, n_tokens * width + 1, dtype="f").reshape(n_tokens, width)


@pytest.mark.parametrize("width", [7, WIDTH])
@pytest.mark.parametrize("change", [lambda doc: merge(doc, 0, 2), lambda doc: split(doc, 2)])
def test_a_tensor_set_after_a_change_stays(
    nlp: Language, change: Callable[[Doc], None], width: int
) -> None:
    doc = nlp(TEXT)
    change(doc)
    own = own_rows(len(doc), width)
    doc.tensor = own
    np.testing.assert_array_equal(doc[0].vector, own[0])
    assert doc.tensor is own
    assert doc._.ctxemb.shape[1] == len(doc)
    expected = own[:2].mean(axis=0)
    np.testing.assert_array_equal(own, own_rows(len(doc), width))
    merge(doc, 0, 2)
    np.testing.assert_allclose(doc[0].vector, expected)


def test_zeros_set_after_a_merge_stay(nlp: Language) -> None:
    doc = nlp(TEXT)
    merge(doc, 0, 2)
    doc.tensor = np.zeros((len(doc), WIDTH), dtype="f")
    assert not doc.has_vector and not doc.tensor.any()


@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_a_tensor_set_before_a_merge_stays(nlp: Language, scale: float) -> None:
    """spaCy keeps the row of the last part of it."""
    doc = nlp(TEXT)
    scaled = doc.tensor * scale
    doc.tensor = scaled
    merge(doc, 0, 2)
    assert doc.has_vector
    np.testing.assert_array_equal(doc.tensor, scaled[1:])


def test_a_tensor_of_another_width_set_before_a_merge_stays(nlp: Language) -> None:
    doc = nlp(TEXT)
    doc.tensor = own_rows(len(doc))
    merge(doc, 0, 2)
    np.testing.assert_array_equal(doc[0].vector, own_rows(6)[1])


@pytest.mark.parametrize("reads", [False, True])
def test_values_changed_in_place_stay(nlp: Language, reads: bool) -> None:
    doc = nlp(TEXT)
    merge(doc, 0, 2)
    assert doc.has_vector
    doc.tensor *= 2
    if reads:
        assert doc.has_vector
    expected = doc.tensor[:2].mean(axis=0)
    merge(doc, 0, 2)
    np.testing.assert_allclose(doc[0].vector, expected, rtol=1e-5)


def test_pooled_vectors_at_the_first_read_after_a_split(pooling: Language) -> None:
    doc = Doc(pooling.vocab, words="Ab cde . Fg h .".split(), sent_starts=[1, 0, 0, 1, 0, 0])
    doc = pooling.get_pipe("ctxemb")(doc)
    whole, second = doc.vector, doc[3:].vector
    split(doc, 1)
    np.testing.assert_array_equal(doc.vector, whole)
    split(doc, 2)
    np.testing.assert_array_equal(doc[5:].vector, second)


def test_a_sentence_that_was_merged_and_split_again(pooling: Language) -> None:
    doc = Doc(pooling.vocab, words="ab cd ef gh".split(), sent_starts=[1, 0, 1, 0])
    doc = pooling.get_pipe("ctxemb")(doc)
    starts, first = doc._.ctxemb_pooled["starts"], doc._.ctxemb_pooled["sentences"][0]
    merge(doc, 1, 3)
    assert doc._.ctxemb_pooled["starts"][1] == -1
    with doc.retokenize() as retokenizer:
        heads = [doc[1], doc[1]]
        retokenizer.split(doc[1], ["cd ", "ef"], heads=heads)
    assert list(doc._.ctxemb_pooled["starts"]) == list(starts)
    np.testing.assert_array_equal(doc._.ctxemb_pooled["sentences"][0], first)


def test_pieces_of_a_token_that_was_split_read_and_merged() -> None:
    doc = initialised(TRANSFORMER, keep_pieces=True)(TEXT)
    before = [token._.ctxemb_pieces for token in doc]
    split(doc, 2)
    assert [doc[i]._.ctxemb_pieces for i in (2, 3)] == [before[2], before[2]]
    split(doc, 5)
    merge(doc, 3, 5)
    assert doc[3]._.ctxemb_pieces == [*before[2], *before[3]]
    assert doc[4]._.ctxemb_pieces == before[4]
    merge(doc, 2, 4)
    assert doc[2]._.ctxemb_pieces == [*before[2], *before[3]]


@pytest.mark.parametrize("tensor", ["kept", None])
@pytest.mark.parametrize("change", [lambda doc: merge(doc, 0, 2), lambda doc: split(doc, 2)])
def test_what_a_doc_carries_fits_when_it_is_read_first(
    nlp: Language, pooling: Language, change: Callable[[Doc], None], tensor: str | None
) -> None:
    doc, pooled = nlp(TEXT), pooling(TEXT)
    for one in (doc, pooled):
        if tensor is None:
            one.tensor = None  # type: ignore[assignment]
        change(one)
    assert doc._.ctxemb.shape == (3, len(doc), WIDTH)
    other = nlp(TEXT)
    change(other)
    assert len(other._.ctxemb_pieces["starts"]) == len(other)
    assert pooled._.ctxemb_pooled["n_tokens"] == len(pooled)


def test_layers_can_be_set_and_taken_away(nlp: Language) -> None:
    doc = nlp(TEXT)
    merge(doc, 0, 2)
    own = np.ones((1, len(doc), 2), dtype="f")
    doc._.ctxemb = own
    assert doc._.ctxemb is own
    doc._.ctxemb = None
    assert doc._.ctxemb is None and doc.has_vector


def test_merging_twice_is_a_mean_of_what_was_encoded(nlp: Language) -> None:
    doc = nlp(TEXT)
    rows, layers = doc.tensor.copy(), doc._.ctxemb.copy()
    for _ in range(2):
        merge(doc, 0, 2)
        assert doc.has_vector and doc._.ctxemb is not None
    np.testing.assert_allclose(doc[0].vector, rows[:3].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(doc._.ctxemb[:, 0], layers[:, :3].mean(axis=1), rtol=1e-5)
    assert doc[0]._.ctxemb_pieces == ["Ada", "met", "Grace"]


def read_vector(doc: Doc) -> Any:
    return [token.vector for token in doc]


def read_elmo(doc: Doc) -> Any:
    return elmo_outputs(doc)["elmo"]


@pytest.mark.parametrize("read", [read_vector, read_elmo, lambda doc: attach(doc).tensor])
def test_a_token_that_was_split_and_merged_again(nlp: Language, read: Callable[[Doc], Any]) -> None:
    doc = nlp(TEXT)
    rows = doc.tensor.copy()
    split(doc, 2)
    merge(doc, 2, 4)
    copied = doc.copy()
    np.testing.assert_array_equal(read(doc), rows)
    with pytest.raises(ValueError, match=r"\[E064\]"):  # its rows are lost
        read(copied)


@pytest.mark.parametrize("upstream", ["tensor", "layers"])
def test_a_listener_of_a_doc_that_was_split_and_merged_again(upstream: str) -> None:
    mix = {"@architectures": "spacy-ctxemb.LayerMixListener.v1", "width": WIDTH}
    nlp = blank({**BILM, "mix": LAST}, keep="none")
    nlp.add_pipe("ner", config=ner_config(listener() if upstream == "tensor" else mix))
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    model = nlp.get_pipe("ner").model
    (node,) = [one for one in model.walk() if "ctxemb_guard" in one.attrs]
    encode = nlp.get_pipe("ctxemb")
    (expected,) = node.predict([encode(nlp.make_doc(TEXT))])
    doc = encode(nlp.make_doc(TEXT))
    split(doc, 2)
    merge(doc, 2, 4)
    (found,) = node.predict([doc])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not doc.tensor.size and doc._.ctxemb is None


@pytest.mark.parametrize("shape", [(0,), (0, 0), (0, WIDTH)])
def test_an_empty_tensor_is_no_vector(nlp: Language, shape: tuple[int, ...]) -> None:
    doc = nlp(TEXT)
    doc.tensor = np.zeros(shape, dtype="f")
    merge(doc, 0, 2)
    for tokens in (doc, doc[:2], doc[0]):
        assert not tokens.has_vector
        assert tokens.vector_norm == tokens.similarity(nlp(TEXT)) == 0.0
