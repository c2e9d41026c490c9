"""A pipeline as bytes, on disk and as a pickle."""

import multiprocessing
import os
import pickle
import re
import signal
import threading
import time

import numpy as np
import pytest
import spacy
import srsly
import torch
from safetensors.torch import load_file, save_file
from spacy.language import Language

from spacy_ctxemb.objectives import BiLMObjective
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import (
    BILM,
    NER_DATA,
    TRANSFORMER,
    WIDTH,
    blank,
    examples,
    initialised,
    learn_by_heart,
    listener,
    ner_config,
    parameters,
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
    learn_by_heart(loaded, NER_DATA, "ents_f")
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


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_weights_that_are_no_floats(dtype, tmp_path):
    nlp = initialised()
    nlp.to_disk(tmp_path)
    path = tmp_path / "ctxemb" / "model" / "encoder.safetensors"
    tensors = {name: value.to(dtype) for name, value in load_file(path).items()}
    save_file(tensors, path)
    message = rf"\[E162\].*: expected (\(.*\)), found \1 of {dtype}"
    with pytest.raises(ValueError, match=message):
        nlp.from_disk(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize("name", ["cfg", "model/pieces", "model/encoder.safetensors"])
def test_a_pipe_in_the_place_of_a_file(name, tmp_path):
    """Nobody writes into it: to read it would take for ever."""
    nlp = initialised()
    nlp.to_disk(tmp_path)
    (tmp_path / "ctxemb" / name).unlink()
    os.mkfifo(tmp_path / "ctxemb" / name)
    with pytest.raises(ValueError, match=rf"\[E\d+\] .*{name} .*: it is not a regular file"):
        nlp.from_disk(tmp_path)


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
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match=r"\[E164\] .*model cannot be written: .*No space left"):
        initialised(seed=1).to_disk(tmp_path)
    for a, b in zip(vectors(spacy.load(tmp_path)), expected, strict=True):
        assert np.array_equal(a, b)
    assert {path.name for path in (tmp_path / "ctxemb").iterdir()} == {"cfg", "model"}


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


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The default model, fine-tuned; and its vectors."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb")
    nlp.initialize()
    with torch.no_grad():
        next(get_shim(nlp.get_pipe("ctxemb").model).embedder.parameters()).add_(0.1)
    path = tmp_path_factory.mktemp("saved")
    nlp.to_disk(path)
    return path


class TestLostAndDamagedFiles:
    """A pipeline has what it was saved with, or an error says which file is not as it was."""

    @pytest.fixture
    def folder(self, saved):
        """The folder of its encoder, as it was before after each test."""
        folder = saved / "ctxemb" / "model"
        before = {path: path.read_bytes() for path in folder.iterdir()}
        yield folder
        for path, content in before.items():
            path.write_bytes(content)

    @pytest.mark.parametrize("name", ["encoder.safetensors", "pieces"])
    @pytest.mark.parametrize(
        "content, reason",
        [
            (None, "it is not there. Put a whole copy in its place"),
            (b"", "it is empty"),
            (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer .* `git lfs pull`"),
            (b"half", "."),
            (b"PK\3\4 another file", "."),
        ],
        ids=["lost", "empty", "pointer", "cut", "foreign"],
    )
    def test_on_disk(self, name, content, reason, saved, folder):
        path = folder / name
        if content == b"half":
            content = path.read_bytes()[: path.stat().st_size // 2]
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        message = rf"^\[E163\] {re.escape(str(path))} cannot be read as the .*: {reason}"
        with pytest.raises(ValueError, match=message):
            spacy.load(saved)

    def test_pieces_of_another_kind_of_data(self, saved, folder):
        for data, message in (
            ([1], r"\[E163\] .*pieces cannot be read as"),
            ({"kind": "characters"}, r"\[E163\] .*pieces cannot be read as"),
            ({"kind": "words"}, r"\[E167\] The pieces are of the kind 'words'"),
        ):
            (folder / "pieces").write_bytes(srsly.msgpack_dumps(data))
            with pytest.raises(ValueError, match=message):
                spacy.load(saved)

    @pytest.mark.parametrize("key", ["pieces", "weights"])
    def test_in_bytes(self, key):
        nlp = initialised()
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        message = srsly.msgpack_loads(shim.to_bytes())
        del message[key]
        match = rf"\[E163\] What was stored cannot be read as an encoder: it has no '{key}'"
        with pytest.raises(ValueError, match=match):
            shim.from_bytes(srsly.msgpack_dumps(message))
        with pytest.raises(ValueError, match=r"\[E163\] .* as an encoder: "):
            shim.from_bytes(shim.to_bytes()[:1000])

    def test_in_bytes_of_the_component(self):
        pipe = initialised().get_pipe("ctxemb")
        data = pipe.to_bytes(exclude=["model", "vocab"])
        with pytest.raises(ValueError, match=r"\[E163\] .*component 'ctxemb': it has no 'model'"):
            pipe.from_bytes(data, exclude=["vocab"])
        assert pipe.from_bytes(data, exclude=["model", "vocab"]) is pipe

    def test_what_was_left_out_when_it_was_saved(self, tmp_path):
        nlp = initialised()
        nlp.to_disk(tmp_path, exclude=["ctxemb"])
        with pytest.raises(ValueError, match=r"\[E163\] .*encoder.safetensors.* is not there"):
            spacy.load(tmp_path)
        expected = vectors(nlp)
        for a, b in zip(
            vectors(nlp.from_disk(tmp_path, exclude=["ctxemb"])), expected, strict=True
        ):
            assert np.array_equal(a, b)

    def test_a_pipeline_without_weights_is_stored_as_such(self, tmp_path):
        nlp = spacy.blank("en")
        nlp.add_pipe("ctxemb", config={"pretrained": None})
        nlp.to_disk(tmp_path)
        for other in (spacy.load(tmp_path), initialised().from_bytes(blank().to_bytes())):
            with pytest.raises(RuntimeError, match=r"\[E008\]"):
                other("Now.")


class TestAtTheSameTime:
    def test_threads_that_save_to_one_folder(self, tmp_path):
        """None fails; pieces and weights are of one of them."""
        pipes = [initialised(seed=seed).get_pipe("ctxemb") for seed in (0, 1)]
        errors = []

        def save(pipe):
            try:
                for _ in range(20):
                    pipe.to_disk(tmp_path)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=save, args=(pipe,)) for pipe in pipes * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert {path.name for path in tmp_path.iterdir()} == {"cfg", "model"}
        found = blank().get_pipe("ctxemb").from_disk(tmp_path).model.to_bytes()
        assert found in [pipe.model.to_bytes() for pipe in pipes]

    @pytest.mark.parametrize("n", [3, pytest.param(20, marks=pytest.mark.slow)])
    def test_kills_while_an_encoder_is_saved(self, n, tmp_path):
        nlps = [initialised(seed=seed) for seed in (0, 1)]
        pipes = [nlp.get_pipe("ctxemb") for nlp in nlps]
        expected = [pipe.model.to_bytes() for pipe in pipes]
        pipes[0].to_disk(tmp_path)

        def work():
            for i in range(10_000):
                pipes[i % 2].to_disk(tmp_path)

        reader = blank().get_pipe("ctxemb")
        for i in range(n):
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            time.sleep(0.02 + 0.0073 * i)
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            assert reader.from_disk(tmp_path).model.to_bytes() in expected
        pipes[1].to_disk(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"cfg", "model"}

    def test_a_planted_link_is_not_followed(self, tmp_path):
        """Names of temporary files could once be guessed."""
        nlp = initialised()
        nlp.to_disk(tmp_path / "out")
        (tmp_path / "precious").write_text("mine")
        folder = tmp_path / "out" / "ctxemb" / "model"
        for name in ("pieces", "encoder.safetensors"):
            (folder / f"{name}.tmp{os.getpid()}").symlink_to(tmp_path / "precious")
        nlp.to_disk(tmp_path / "out")
        assert (tmp_path / "precious").read_text() == "mine"
