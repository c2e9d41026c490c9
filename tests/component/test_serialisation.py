"""A pipeline as bytes, on disk and as a pickle."""

import pickle

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language

from spacy_ctxemb.objectives import BiLMObjective
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import (
    BILM,
    NER_DATA,
    STEPS,
    TRANSFORMER,
    WIDTH,
    blank,
    examples,
    initialised,
    listener,
    ner_config,
    parameters,
    update,
    vectors,
    with_ner,
)


def test_bytes_disk_and_pickle_give_equal_vectors(model, tmp_path):
    nlp = initialised(model)
    expected = vectors(nlp)
    nlp.to_disk(tmp_path / "model")
    files = sorted(p.name for p in (tmp_path / "model" / "ctxemb" / "model").iterdir())
    assert files == ["encoder.safetensors", "pieces"]
    copies = [
        initialised(model, seed=1).from_bytes(nlp.to_bytes()),
        initialised(model, seed=1).from_disk(tmp_path / "model"),
        spacy.load(tmp_path / "model"),
        pickle.loads(pickle.dumps(nlp)),
    ]
    for other in copies:
        assert isinstance(other, Language)
        for a, b in zip(vectors(other), expected, strict=True):
            assert np.array_equal(a, b)


def test_a_loaded_pipeline_goes_on_training(tmp_path):
    nlp = with_ner()
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    before = parameters(loaded)
    loaded.resume_training()
    assert update(loaded, NER_DATA, steps=STEPS)["ents_f"] == 1.0
    assert all(not torch.equal(before[name], value) for name, value in parameters(loaded).items())


def test_a_loaded_pipeline_does_not_change_with_its_file(tmp_path):
    initialised(seed=0).to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    expected = vectors(nlp)
    weights = tmp_path / "ctxemb" / "model" / "encoder.safetensors"
    with weights.open("r+b") as file_:
        file_.write(bytes(weights.stat().st_size))
    for a, b in zip(vectors(nlp), expected, strict=True):
        assert np.array_equal(a, b)


def test_keep_can_change_at_load_time(tmp_path):
    initialised().to_disk(tmp_path)
    nlp = spacy.load(tmp_path, config={"components": {"ctxemb": {"keep": "layers"}}})
    assert nlp("two words")._.ctxemb.shape == (3, 2, WIDTH)


def test_weights_of_another_shape(tmp_path):
    initialised().to_disk(tmp_path)
    other = blank({**BILM, "encoder": {**BILM["encoder"], "hidden_width": 10}})
    message = r"\[E162\].*encoder\.directions\.0\.0\.\w+: expected \(40, 8\), found \(48, 8\)"
    with pytest.raises(ValueError, match=message):
        other.get_pipe("ctxemb").from_disk(tmp_path / "ctxemb")


def test_weights_of_another_width():
    data = initialised().get_pipe("ctxemb").model.to_bytes()
    message = r"\[E162\].*width of the vectors: expected 24, found 16"
    with pytest.raises(ValueError, match=message):
        blank({**BILM, "width": 24}).get_pipe("ctxemb").model.from_bytes(data)


def test_pretrained_weights_fit_another_mix():
    """What `spacy pretrain` saves is the encoder; the mix is the task's own."""
    source = initialised({**BILM, "mix": {"@architectures": "spacy-ctxemb.Layer.v1"}})
    shim = get_shim(source.get_pipe("ctxemb").model)
    shim.objective = BiLMObjective(shim.embedder.encoder, ["<S>", "</S>", "<UNK>"], n_samples=None)
    shim.objective.reset_parameters()
    nlp = blank(BILM)
    nlp.get_pipe("ctxemb").model.from_bytes(source.get_pipe("ctxemb").model.to_bytes())
    found = parameters(nlp)
    assert nlp("two words").tensor.shape == (2, WIDTH)
    for name, value in parameters(source).items():
        assert name.startswith("objective.") or torch.equal(found[name], value)


def test_pieces_of_another_kind(tmp_path):
    initialised().to_disk(tmp_path)
    with pytest.raises(ValueError, match=r"\[E161\].*'characters', 262, 50"):
        blank(TRANSFORMER).get_pipe("ctxemb").from_disk(tmp_path / "ctxemb")


def test_an_interrupted_save_leaves_the_old_files(tmp_path, monkeypatch):
    import safetensors.torch

    nlp = initialised(seed=0)
    expected = vectors(nlp)
    nlp.to_disk(tmp_path)

    def fail(tensors, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        initialised(seed=1).to_disk(tmp_path)
    for a, b in zip(vectors(spacy.load(tmp_path)), expected, strict=True):
        assert np.array_equal(a, b)
    assert not list((tmp_path / "ctxemb" / "model").glob("*.tmp*"))


def test_initialize_warns_where_it_replaces_loaded_weights(model, tmp_path):
    initialised(model).to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    with pytest.warns(UserWarning, match=r"\[W003\].*that 'ctxemb' had loaded.*resume_training"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))
    nlp.initialize(lambda: examples(nlp, NER_DATA))  # these were random


def test_other_components_are_initialised_alone(model, tmp_path):
    initialised(model).to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    before = vectors(nlp)
    ner = nlp.add_pipe("ner", config=ner_config(listener()))
    ner.initialize(lambda: examples(nlp, NER_DATA), nlp=nlp)
    optimizer = nlp.resume_training()
    for a, b in zip(before, vectors(nlp), strict=True):
        np.testing.assert_array_equal(a, b)
    for _ in range(2):  # the encoder learns of a batch with the next one
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    assert any((a != b).any() for a, b in zip(before, vectors(nlp), strict=True))
