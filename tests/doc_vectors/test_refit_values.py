"""Docs whose tokens change after they were encoded, and Docs that are made of others."""

import pickle
from typing import Any

import numpy as np
import pytest
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Adam, fix_random_seed

from spacy_ctxemb import attach, elmo_outputs

from ..pipelines import BILM, TEXTCAT_DATA, blank, examples, initialised, listener, textcat_config

TEXT = "Ada Lovelace  lives in Oslo."
LAST = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}
MIX = {"@architectures": "spacy-ctxemb.LayerMixListener.v1", "width": 16}


@pytest.fixture(scope="module")
def nlp() -> Language:
    return initialised({**BILM, "mix": LAST}, keep="layers", keep_pieces=True)


@pytest.fixture(scope="module")
def pooling() -> Language:
    return initialised({**BILM, "mix": LAST}, doc_pooling="mean", normalize=True)


@Language.component("merge_two")
def merge(doc: Doc, end: int = 2) -> Doc:
    if len(doc) > end:
        with doc.retokenize() as retokenizer:
            retokenizer.merge(doc[:end])
    return doc


@Language.component("split_first")
def split(doc: Doc) -> Doc:
    first = doc[0]
    if len(first) > 2:
        with doc.retokenize() as retokenizer:
            retokenizer.split(first, [first.text[:2], first.text[2:]], heads=[first, first])
    return doc


def test_a_merged_token_has_the_mean_of_its_parts(nlp: Language) -> None:
    doc = nlp(TEXT)
    before, layers = doc.tensor.copy(), doc._.ctxemb.copy()
    merge(doc)
    np.testing.assert_allclose(doc[0].vector, before[:2].mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(doc.tensor[1:], before[2:])
    np.testing.assert_allclose(doc._.ctxemb[:, 0], layers[:, :2].mean(axis=1), rtol=1e-5)
    outputs = elmo_outputs(doc)
    lengths = {len(outputs[name]) for name in ("word_emb", "lstm_outputs1", "elmo")}
    assert lengths == {len(doc)} == {6}
    assert doc[0]._.ctxemb_pieces == ["Ada", "Lovelace"]
    assert doc[2]._.ctxemb_pieces == ["lives"]


def test_white_space_does_not_count_in_a_merged_token(nlp: Language) -> None:
    doc = nlp(TEXT)
    before = doc.tensor.copy()
    assert not before[2].any()
    merge(doc, 3)
    np.testing.assert_allclose(doc[0].vector, before[:2].mean(axis=0), rtol=1e-5)


def test_parts_have_the_vector_of_the_token_they_were_split_from(nlp: Language) -> None:
    doc = nlp(TEXT)
    before = doc.tensor.copy()
    split(doc)
    for i, row in enumerate([0, 0, 1, 2, 3, 4, 5, 6]):
        np.testing.assert_array_equal(doc[i].vector, before[row])
    assert doc.tensor.shape == (8, 16) and doc._.ctxemb.shape == (3, 8, 16)
    assert [doc[i]._.ctxemb_pieces for i in range(3)] == [["Ada"], ["Ada"], ["Lovelace"]]
    assert doc.vector.shape == (16,) and doc[:2].has_vector


def test_changes_of_equal_number(nlp: Language) -> None:
    """As many tokens as before, but others."""
    doc = nlp("Ada met Grace")
    before = doc.tensor.copy()
    split(doc)
    merge_last = doc[2:]
    with doc.retokenize() as retokenizer:
        retokenizer.merge(merge_last)
    np.testing.assert_array_equal(doc[1].vector, before[0])
    np.testing.assert_allclose(doc[2].vector, before[1:].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("way", ["bytes", "pickle", "copy"])
def test_a_copy_of_a_changed_doc(nlp: Language, way: str) -> None:
    """Once it was read it fits; before that, spaCy has dropped rows."""

    def duplicate(doc: Doc) -> Doc:
        if way == "bytes":
            return Doc(nlp.vocab).from_bytes(doc.to_bytes(exclude=["user_hooks"]))
        return doc.copy() if way == "copy" else pickle.loads(pickle.dumps(doc))

    doc = merge(nlp(TEXT))
    with pytest.raises(ValueError, match=r"\[E064\] This Doc had 7 tokens.*has 6 others now"):
        attach(duplicate(doc))
    expected = doc[0].vector
    other = attach(duplicate(doc))
    np.testing.assert_array_equal(other[0].vector, expected)
    assert len(merge(other)[0].vector) == 16
    assert elmo_outputs(other)["elmo"].shape == (5, 16)


def test_several_processes_say_that_rows_are_lost() -> None:
    nlp = initialised()
    nlp.add_pipe("merge_two")
    (doc,) = nlp.pipe([TEXT], n_process=2)
    with pytest.raises(ValueError, match=r"\[E064\]"):
        attach(doc)


@pytest.mark.parametrize("keep", ["tensor", "layers", "none"])
@pytest.mark.parametrize("change", ["merge_two", "split_first"])
@pytest.mark.parametrize("tok2vec", [listener(), MIX], ids=["vectors", "layers"])
def test_a_component_between_encoder_and_reader(
    tok2vec: dict[str, Any], change: str, keep: str
) -> None:
    nlp = blank({**BILM, "mix": LAST}, keep=keep)
    nlp.add_pipe("textcat", config=textcat_config(tok2vec))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    for _ in range(2):  # output layers begin with zeros
        nlp.update(examples(nlp, TEXTCAT_DATA), sgd=Adam(0.01))
    nlp.add_pipe(change, before="textcat")
    found = [doc.cats for doc in nlp.pipe([TEXT, "two words"])]
    again = [doc.cats for doc in nlp.pipe([TEXT, "two words"], n_process=2)]
    assert found == [pytest.approx(cats, abs=1e-6) for cats in again]
    encoder, _, reader = (pipe for _, pipe in nlp.pipeline)
    changed = (merge if change == "merge_two" else split)(encoder(nlp.make_doc(TEXT)))
    assert reader(changed).cats == pytest.approx(found[0], abs=1e-6)
    annotates = ["ctxemb", change]
    with pytest.raises(ValueError, match=r"\[E035\] 'textcat' was to learn from Docs of \["):
        nlp.update(examples(nlp, TEXTCAT_DATA), sgd=Adam(0.01), annotates=annotates)
    frozen = {"exclude": ["ctxemb"], "annotates": annotates}
    nlp.update(examples(nlp, TEXTCAT_DATA), sgd=Adam(0.01), **frozen)


@pytest.mark.parametrize("copies", [False, True])
def test_a_doc_of_a_span_has_its_vector(pooling: Language, copies: bool) -> None:
    doc = Doc(pooling.vocab, words="A b . C d .".split(), sent_starts=[1, 0, 0, 1, 0, 0])
    doc = pooling.get_pipe("ctxemb")(doc)
    for span in (doc[:3], doc[3:], doc[1:3], doc[:]):
        made = span.as_doc(copy_user_data=copies)
        np.testing.assert_array_equal(made.vector, span.vector)
        np.testing.assert_array_equal(attach(made).vector, span.vector)
        np.testing.assert_array_equal(made[0].vector, span[0].vector)
    assert doc[3:].as_doc().vector_norm == pytest.approx(1.0)
    two = doc[:].as_doc()
    with pytest.raises(ValueError, match=r"\[E065\].*doc_pooling.*has none"):
        _ = two[:3].vector  # a sentence: its vector was left behind
    assert two[1:3].has_vector


def test_joined_docs(pooling: Language) -> None:
    with pytest.warns(UserWarning, match="W101"):  # spaCy leaves doc._.ctxemb_pooled out
        joined = attach(Doc.from_docs([pooling("two words"), pooling("one")]))
    assert joined[0].has_vector
    with pytest.raises(ValueError, match=r"\[E065\].*made by as_doc or from_docs, has none"):
        _ = joined.vector
    plain = initialised()
    docs = [plain("two words"), plain("one")]
    joined = attach(Doc.from_docs(docs))
    np.testing.assert_array_equal(joined[:2].vector, docs[0].vector)
    assert len(merge(joined)[0].vector) == 16
    with pytest.raises(ValueError, match=r"\[E064\]"):
        attach(Doc.from_docs([merge(plain(TEXT)), docs[1]]))


def test_a_changed_doc_keeps_its_pooled_vectors(pooling: Language) -> None:
    doc = Doc(pooling.vocab, words="A b . C d .".split(), sent_starts=[1, 0, 0, 1, 0, 0])
    doc = pooling.get_pipe("ctxemb")(doc)
    whole, second = doc.vector, doc[3:].vector
    merge(doc)
    np.testing.assert_array_equal(doc.vector, whole)
    np.testing.assert_array_equal(doc[2:].vector, second)


@pytest.mark.parametrize("doc_pooling", [None, "mean"])
def test_a_cleaned_doc_has_no_vector(doc_pooling: str | None) -> None:
    nlp = initialised({**BILM, "mix": LAST}, doc_pooling=doc_pooling)
    nlp.add_pipe("doc_cleaner", config={"attrs": {"tensor": None}})
    doc = nlp("two words")
    for tokens in (doc, doc[:1], doc[0]):
        assert not tokens.has_vector and not tokens.vector.any()
        assert tokens.vector_norm == tokens.similarity(doc[1]) == 0.0
    with pytest.raises(ValueError, match=r"\[E060\].*tensor of shape None.*doc_cleaner"):
        attach(doc)
    nlp.remove_pipe("doc_cleaner")
    nlp.add_pipe("doc_cleaner", config={"attrs": {"tensor": None, "_.ctxemb": None}}, first=True)
    assert nlp(doc).has_vector


@pytest.mark.parametrize("tok2vec", [listener(), MIX], ids=["vectors", "layers"])
def test_a_reader_of_a_cleaned_doc(tok2vec: dict[str, Any]) -> None:
    nlp = blank({**BILM, "mix": LAST})
    nlp.add_pipe("textcat", config=textcat_config(tok2vec))
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    attrs = {"tensor": None, "_.ctxemb": None}
    nlp.add_pipe("doc_cleaner", config={"attrs": attrs}, before="textcat")
    with pytest.raises(ValueError, match=r"\[E02[18]\] 'textcat' .* a Doc of 2 tokens"):
        nlp("two words")


def test_another_batch_in_training() -> None:
    nlp = blank()
    nlp.add_pipe("textcat", config=textcat_config(listener()))
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    batch = examples(nlp, TEXTCAT_DATA)
    nlp.get_pipe("ctxemb").update(batch[:2])
    with pytest.raises(ValueError, match=r"\[E035\] 'textcat' .*\[5, 7\].*'ctxemb' has encoded"):
        nlp.get_pipe("textcat").update(batch[2:])
