"""Callbacks: vocabularies of encoders of word pieces, and rates of encoders from elsewhere."""

import json
import re

import pytest
import spacy
import torch
from spacy.util import load_model_from_config, registry
from thinc.api import SGD, Config, fix_random_seed

from spacy_ctxemb.pieces.subwords import WordPieces
from spacy_ctxemb.thinc_model.embedder_shim import find_shims, get_shim

from .pipelines import (
    BILM,
    NER_DATA,
    TRANSFORMER,
    blank,
    examples,
    inline_model,
    listener,
    ner_config,
    parameters,
)
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


def source_config(folder, **rates):
    """NER on the encoder of a pipeline in a folder, as init-config writes it."""
    fix_random_seed(0)
    nlp = blank(BILM)
    nlp.initialize()
    nlp.to_disk(folder)
    callback = {"@callbacks": "spacy-ctxemb.UseRates.v1", **rates}
    return {
        "nlp": {"lang": "en", "pipeline": ["ctxemb", "ner"]},
        "components": {
            "ctxemb": {"source": str(folder)},
            "ner": {"factory": "ner", **ner_config(listener())},
        },
        "initialize": {"before_init": callback},
    }


def init_nlp(config):
    """As `spacy train` does: what is taken by `source` keeps its weights."""
    fix_random_seed(0)
    nlp = load_model_from_config(config, auto_fill=True)
    with nlp.select_pipes(disable=["ctxemb"]):
        nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


def step(config):
    """How far one step of SGD changes each parameter of the encoder, and of the mix."""
    nlp = init_nlp(Config(config))
    before = parameters(nlp)
    docs = [nlp.make_doc(text) for text, _ in NER_DATA]
    model = nlp.get_pipe("ctxemb").model
    vectors, backprop = model.begin_update(docs)
    backprop([vector * 0.01 for vector in vectors])
    model.finish_update(SGD(1.0, grad_clip=0.0))  # whose norm depends on what learns
    return {name: value - before[name] for name, value in parameters(nlp).items()}


def test_the_rate_of_a_sourced_encoder(tmp_path):
    even = step(source_config(tmp_path / "pipeline"))
    found = step(source_config(tmp_path / "pipeline", learn_rate_factor=0.1, freeze_layers=1))
    layers = get_shim(blank(BILM).get_pipe("ctxemb").model).embedder.encoder.parameter_layers()
    for name, change in even.items():
        is_encoder = name.startswith("encoder.")
        rate = 0.1 if is_encoder else 1.0
        if is_encoder and layers[name.removeprefix("encoder.")] == 0:
            rate = 0.0
        assert change.any()
        torch.testing.assert_close(found[name], rate * change, rtol=1e-3, atol=1e-7)


def test_rates_of_one_training_alone(tmp_path):
    """The pipeline that is saved has the settings of its own config."""
    config = source_config(tmp_path / "pipeline", learn_rate_factor=0.1)
    init_nlp(Config(config)).to_disk(tmp_path / "trained")
    shim = get_shim(spacy.load(tmp_path / "trained").get_pipe("ctxemb").model)
    assert shim.layer_training.learn_rate_factor == 1.0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"component": "ner"}, r"\[E257\] 'ner' .* \['ctxemb'\]"),
        ({"learn_rate_factor": 0.0}, r"\[E206\]"),
        ({"freeze_layers": 9}, r"\[E200\]"),
    ],
)
def test_rates_that_cannot_be(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        step(source_config(tmp_path / "pipeline", **settings))
