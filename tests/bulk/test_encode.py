"""`spacy_ctxemb.encode` and `iter_encode`, against the vectors that spaCy's objects have."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

import spacy_ctxemb
from spacy_ctxemb.bulk import encode as module
from spacy_ctxemb.bulk.needed_components import list_unneeded
from spacy_ctxemb.search import Index

from ..pipelines import BILM, TRANSFORMER, WIDTH, initialised, with_ner
from ..search.index_of_few import build_pipeline

TEXTS = ["Otters slept on the bank. They were wet.", "", "one", "We met Grace in Lima. " * 9, " "]


@pytest.fixture(scope="module")
def nlp() -> Language:
    return build_pipeline()


def list_expected(nlp: Language, level: str) -> list[Any]:
    docs = [nlp(text) for text in TEXTS]
    if level == "doc":
        return [doc.vector for doc in docs]
    if level == "sent":
        return [sent.vector for doc in docs for sent in doc.sents]
    return [token.vector for doc in docs for token in doc]


@pytest.mark.parametrize("level", ["doc", "sent", "token"])
@pytest.mark.parametrize("limits", [(2048, 10**6), (2, 10**6), (2048, 60)])
def test_rows_are_those_of_each_text_by_itself(
    nlp: Language, level: str, limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TEXTS", limits[0])
    monkeypatch.setattr(module, "MAX_CHARACTERS", limits[1])
    found = spacy_ctxemb.encode(nlp, TEXTS, level)
    np.testing.assert_allclose(found, list_expected(nlp, level), atol=1e-5)
    assert found.dtype == np.float32


def test_a_text_without_words_has_zeros(nlp: Language) -> None:
    found = spacy_ctxemb.encode(nlp, ["", "bank", " \n"])
    assert found.any(axis=1).tolist() == [False, True, False]


def test_no_texts(nlp: Language) -> None:
    assert spacy_ctxemb.encode(nlp, []).shape == (0, WIDTH)
    assert spacy_ctxemb.encode(nlp, [""], "sent", dtype="float16").shape == (0, WIDTH)


def test_places_are_those_in_the_text(nlp: Language) -> None:
    pairs = [(text, f"t{i}") for i, text in enumerate(TEXTS)]
    known = {id: text for text, id in pairs}
    for level in ("doc", "sent", "token"):
        for passages in spacy_ctxemb.iter_encode(nlp, iter(pairs), level):
            assert passages.n_texts == len(TEXTS)
            assert len(passages.ids) == len(passages.stretches) == len(passages.vectors)
            for id, x in zip(passages.ids, passages.stretches, strict=True):
                assert known[id][x.start : x.end] == x.text


def test_ids(nlp: Language) -> None:
    (found,) = spacy_ctxemb.iter_encode(nlp, ["one", ("two", "b"), ("three", 7), "four"])
    assert found.ids == ["0", "b", "7", "3"]


def test_half_precision(nlp: Language) -> None:
    found = spacy_ctxemb.encode(nlp, TEXTS, dtype="float16")
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, list_expected(nlp, "doc"), atol=5e-3)


def test_docs_keep_their_tokens(nlp: Language) -> None:
    doc = Doc(nlp.vocab, ["the bank", "of", "the river"])
    found = spacy_ctxemb.encode(nlp, [(doc, "a"), "one"], "token")
    assert len(found) == 4
    np.testing.assert_allclose(found[:3], doc.tensor, atol=1e-6)


def test_spans() -> None:
    nlp = build_pipeline()
    doc = nlp.make_doc("We met Grace in Lima.")
    doc.set_ents([Span(doc, 2, 3, "PERSON"), Span(doc, 4, 5, "LOC")])
    doc.spans["own"] = [Span(doc, 0, 3, "X"), Span(doc, 2, 5, "Y")]
    (found,) = spacy_ctxemb.iter_encode(nlp, [doc], "span")
    assert [x.text for x in found.stretches] == ["Grace", "Lima"]
    assert [x.label for x in found.stretches] == ["PERSON", "LOC"]
    np.testing.assert_allclose(found.vectors, [ent.vector for ent in doc.ents], atol=1e-6)
    (found,) = spacy_ctxemb.iter_encode(nlp, [doc], "span", spans_key="own")
    assert [(x.start, x.end, x.label) for x in found.stretches] == [(0, 12, "X"), (7, 20, "Y")]
    with pytest.raises(ValueError, match=r"\[E703\].*'0' has no spans under the key 'no'.*'own'"):
        spacy_ctxemb.encode(nlp, [doc], "span", spans_key="no")


def test_texts_are_read_as_they_are_needed(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TEXTS", 2)
    n_read = 0

    def read() -> Iterator[str]:
        nonlocal n_read
        for n_read in range(1, 100):
            yield f"text {n_read}"

    next(spacy_ctxemb.iter_encode(nlp, read()))
    assert n_read == 2


def test_the_vocabulary_does_not_grow(nlp: Language) -> None:
    n_strings = len(nlp.vocab.strings)
    spacy_ctxemb.encode(nlp, [f"word{i} and wörd{i}" for i in range(50)])
    assert len(nlp.vocab.strings) == n_strings
    with nlp.memory_zone():
        assert len(spacy_ctxemb.encode(nlp, ["of another zone"])) == 1


def test_components_without_effect_do_not_run() -> None:
    nlp = with_ner(TRANSFORMER)
    nlp.add_pipe("sentencizer")
    assert list_unneeded(nlp, {"doc.tensor"}) == ["sentencizer", "ner"]
    assert list_unneeded(nlp, {"doc.tensor", "doc.sents"}) == []
    assert list_unneeded(nlp, {"doc.tensor", "doc.ents"}) == ["sentencizer"]
    nlp.add_pipe("merge_entities")
    assert list_unneeded(nlp, {"doc.tensor"}) == []


def test_entities_that_are_merged_are_tokens(nlp: Language) -> None:
    nlp = build_pipeline()
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "the bank"}])
    nlp.add_pipe("merge_entities")
    text = "Otters slept on the bank."
    (found,) = spacy_ctxemb.iter_encode(nlp, [text], "token")
    assert [x.text for x in found.stretches] == ["Otters", "slept", "on", "the bank", "."]
    np.testing.assert_allclose(found.vectors, [t.vector for t in nlp(text)], atol=1e-6)


# What cannot be encoded


def test_a_pipeline_without_vectors() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    with pytest.raises(ValueError, match=r"\[E700\].*\['sentencizer'\].*add_pipe\('ctxemb'\)"):
        spacy_ctxemb.encode(nlp, ["text"])
    nlp = build_pipeline()
    nlp.get_pipe("ctxemb").keep = "none"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"\[E700\]"):
        spacy_ctxemb.iter_encode(nlp, ["text"])


def test_vectors_that_are_removed() -> None:
    nlp = build_pipeline()
    nlp.add_pipe("doc_cleaner")
    with pytest.raises(ValueError, match=r"\[E704\].*the text '0' has no vectors.*doc_cleaner"):
        spacy_ctxemb.encode(nlp, ["text"])


@Language.component("replaces", assigns=["doc.tensor"])
@Language.component("widens")
def widen(doc: Doc) -> Doc:
    doc.tensor = np.zeros((len(doc), WIDTH + 1), "f")
    return doc


@pytest.mark.parametrize(("name", "where"), [("replaces", "any text"), ("widens", "the text '0'")])
def test_vectors_that_are_replaced(name: str, where: str) -> None:
    nlp = build_pipeline()
    nlp.add_pipe(name)
    with pytest.raises(ValueError, match=rf"\[E704\].*{where} has no vectors.*'{name}'"):
        spacy_ctxemb.encode(nlp, ["text"])


@pytest.mark.parametrize(
    ("part", "setting"), [("encoder", {"stateful": True}), ("mix", {"layer_norm": "batch"})]
)
def test_vectors_of_several_texts_together(part: str, setting: dict[str, Any]) -> None:
    nlp = initialised({**BILM, part: {**BILM[part], **setting}})
    for call in (lambda: spacy_ctxemb.iter_encode(nlp, ["text"]), lambda: Index(nlp)):
        with pytest.raises(ValueError, match=r"\[E725\].*'ctxemb' depend on which texts"):
            call()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "word"}, r"\[E701\] There is no level 'word'\. Choose among \['doc', 'sent'"),
        ({"dtype": "int8"}, r"\[E701\] There is no dtype 'int8'"),
    ],
)
def test_settings(nlp: Language, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spacy_ctxemb.iter_encode(nlp, ["text"], **settings)  # at once


def test_sentences_that_nobody_finds() -> None:
    nlp = build_pipeline()
    nlp.remove_pipe("sentencizer")
    with pytest.raises(ValueError, match=r"\[E702\].*'b' has no sentence.*sentencizer"):
        spacy_ctxemb.encode(nlp, [("Two words", "b")], "sent")


@pytest.mark.parametrize(
    ("item", "found"),
    [(None, "None"), (b"text", "b'text'"), (("text", 1.5), "1.5"), (("a", "b", "c"), "'c'")],
)
def test_what_is_no_text(nlp: Language, item: Any, found: str) -> None:
    with pytest.raises(ValueError, match=rf"\[E705\] The item at place 1 is .*{found}"):
        spacy_ctxemb.encode(nlp, ["text", item])


@pytest.mark.parametrize("texts", ["text", None, 3])
def test_one_text_is_no_list(nlp: Language, texts: Any) -> None:
    with pytest.raises(ValueError, match=r"\[E705\].*not in a list"):
        spacy_ctxemb.encode(nlp, texts)


def test_a_text_that_is_too_long(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nlp, "max_length", 5)
    with pytest.raises(ValueError, match=r"\[E706\].*'b' has 6 characters.*takes 5 at most"):
        spacy_ctxemb.encode(nlp, [("five", "a"), ("longer", "b")])


def test_half_a_character(nlp: Language) -> None:
    with pytest.raises(ValueError, match=r"\[E707\].*'0'.*UTF-8"):
        spacy_ctxemb.encode(nlp, ["a \ud800 b"])


@Language.component("fails_at_bad")
def fail_at_bad(doc: Doc) -> Doc:
    if doc.text == "bad":
        raise RuntimeError("no")
    return doc


def test_docs_that_get_lost() -> None:
    nlp = build_pipeline()
    nlp.default_error_handler = lambda name, proc, docs, error: None
    nlp.add_pipe("fails_at_bad")
    with pytest.raises(ValueError, match=r"\[E709\].*2 Docs for 3 texts"):
        spacy_ctxemb.encode(nlp, ["good", "bad", "well"])
