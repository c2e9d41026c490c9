"""doc._.ctxemb_pieces and token._.ctxemb_pieces."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin

from ..pipelines import BILM, MODELS, TRANSFORMER, initialised


@pytest.fixture(params=MODELS)
def nlp(request):
    return initialised(MODELS[request.param], keep_pieces=True)


def read(doc):
    return [token._.ctxemb_pieces for token in doc]


def test_a_word_is_a_piece_as_the_encoder_reads_it():
    nlp = initialised(BILM, keep_pieces=True)
    assert read(nlp("can  not " + "é" * 40)) == [["can"], [], ["not"], ["é" * 24]]


def test_subword_pieces_spell_their_token():
    nlp = initialised(TRANSFORMER, keep_pieces=True)
    doc = nlp("Ada met\nGrace in Lima")
    assert ["".join(p.removeprefix("##") for p in own) for own in read(doc)] == [
        "" if token.is_space else token.text for token in doc
    ]


def test_offsets_are_characters_of_the_doc(nlp):
    for doc in nlp.pipe(["Grace met", "", " Ada in  Lima"]):
        kept = doc._.ctxemb_pieces
        assert kept["offsets"].shape == (len(kept["pieces"]), 2)
        assert len(kept["starts"]) == len(kept["lengths"]) == len(doc)
        for token, start, n in zip(doc, kept["starts"], kept["lengths"], strict=True):
            spans = kept["offsets"][start : start + n].tolist()
            assert "".join(doc.text[a:b] for a, b in spans) == token.text.strip()


def test_they_are_kept_only_when_asked():
    nlp = initialised(BILM)
    doc = nlp("no pieces")
    assert doc._.ctxemb_pieces is None and read(doc) == [None, None]
    nlp.get_pipe("ctxemb").keep_pieces = True
    assert read(nlp("no pieces")) == [["no"], ["pieces"]]


def test_they_are_not_counted(nlp):
    component = nlp.get_pipe("ctxemb")
    before = component.counts.copy()
    nlp("Ada")
    assert (component.counts - before)["documents"] == 1


def test_the_setting_is_saved(nlp, tmp_path):
    expected = read(nlp("Ada met Grace"))
    nlp.to_disk(tmp_path)
    assert read(spacy.load(tmp_path)("Ada met Grace")) == expected


@pytest.mark.parametrize("way", ["bytes", "bin", "processes"])
def test_they_survive(nlp, way):
    doc = nlp("Ada met  Grace")
    expected, kept = read(doc), doc._.ctxemb_pieces
    if way == "bytes":
        again = Doc(nlp.vocab).from_bytes(doc.to_bytes(exclude=["user_hooks"]))
    elif way == "bin":
        stored = DocBin(store_user_data=True, docs=[doc]).to_bytes()
        (again,) = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    else:
        again, _ = nlp.pipe([doc.text, "another"], n_process=2)
    assert read(again) == expected
    assert list(again._.ctxemb_pieces["pieces"]) == kept["pieces"]
    for name in ("offsets", "starts", "lengths"):
        np.testing.assert_array_equal(again._.ctxemb_pieces[name], kept[name])


def test_a_merged_token_has_the_pieces_of_its_parts(nlp):
    doc = nlp("Ada met Grace")
    first, second, third = read(doc)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[:2])
    assert read(doc) == [[*first, *second], third]


def test_a_doc_of_a_span_has_no_pieces(nlp):
    """spaCy copies what belongs to spans, and not what belongs to the Doc."""
    doc = nlp("Ada met Grace")[1:].as_doc(copy_user_data=True)
    assert doc._.ctxemb_pieces is None
