"""`spacy-ctxemb.LoadPieces.v1`, which gives encoders of word pieces their vocabulary."""

import json
import re

import pytest
import spacy
from spacy.util import registry

from spacy_ctxemb.pieces.subwords import WordPieces
from spacy_ctxemb.thinc_model.embedder_shim import find_shims

from .pipelines import BILM, NER_DATA, TRANSFORMER, blank, examples, inline_model, ner_config
from .pretraining import TEXT


def train_vocabulary(path, vocab_size=200):
    pieces = WordPieces(vocab_size)
    pieces.train([TEXT])
    path.write_text(pieces.tokenizer.to_str(), encoding="utf8")
    return path


def initialize(nlp, path):
    """With the callback in [initialize.before_init], as in configs."""
    callback = {"@callbacks": "spacy-ctxemb.LoadPieces.v1", "path": path and str(path)}
    nlp.config["initialize"]["before_init"] = callback
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


def test_every_encoder_gets_the_vocabulary(tmp_path):
    path = train_vocabulary(tmp_path / "pieces.json")
    nlp = blank(TRANSFORMER)
    nlp.add_pipe("ner", config=ner_config(inline_model(TRANSFORMER)))
    initialize(nlp, path)
    expected = json.loads(path.read_text(encoding="utf8"))
    shims = [shim for _, pipe in nlp.pipeline for shim in find_shims(pipe.model)]
    assert len(shims) == 2
    for shim in shims:
        assert shim.pieces.to_json()["tokenizer"] == expected
        assert not shim.pieces_from_sample


@pytest.mark.parametrize("name", [None, "nothing.json"])
def test_no_file(name, tmp_path):
    path = name and tmp_path / name
    with pytest.raises(ValueError, match=rf"\[E132\] .*no vocabulary at {re.escape(str(path))}\."):
        initialize(blank(TRANSFORMER), path)


def test_no_word_pieces(tmp_path):
    path = train_vocabulary(tmp_path / "pieces.json")
    with pytest.raises(ValueError, match=r"\[E133\] .* among \['ctxemb'\]"):
        initialize(blank(BILM), path)
    with pytest.raises(ValueError, match=r"\[E133\] .* among \[\]"):
        initialize(spacy.blank("en"), path)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "pieces.json"
    path.write_text("[]", encoding="utf8")
    with pytest.raises(ValueError, match=r"\[E124\] .*pieces\.json is not a tokenizer"):
        initialize(blank(TRANSFORMER), path)


def test_a_vocabulary_larger_than_the_encoder(tmp_path):
    path = train_vocabulary(tmp_path / "pieces.json", 220)
    with pytest.raises(ValueError, match=r"\[E126\] .*pieces\.json has 220 pieces, .*allows 200"):
        initialize(blank(TRANSFORMER), path)


def test_building_it_reads_nothing():
    assert callable(registry.callbacks.get("spacy-ctxemb.LoadPieces.v1")(path="nothing.json"))


def test_a_trained_encoder_keeps_its_own_vocabulary(tmp_path):
    """A sourced encoder that is frozen, beside a new one inside a text classifier."""
    trained = blank(TRANSFORMER)
    trained.initialize(lambda: examples(trained, NER_DATA))
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", source=trained)
    nlp.add_pipe("ner", config=ner_config(inline_model(TRANSFORMER)))
    (own,) = find_shims(nlp.get_pipe("ctxemb").model)
    before = own.pieces.to_json()
    path = train_vocabulary(tmp_path / "pieces.json")
    with nlp.select_pipes(disable="ctxemb"):
        initialize(nlp, path)
    (new,) = find_shims(nlp.get_pipe("ner").model)
    assert own.pieces.to_json() == before
    assert new.pieces.to_json()["tokenizer"] == json.loads(path.read_text(encoding="utf8"))
