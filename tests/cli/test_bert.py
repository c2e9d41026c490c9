"""`python -m spacy ctxemb import bert` and `export bert`"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from safetensors.torch import load_file
from spacy.language import Language
from spacy.util import load_config

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..bert_models import (
    FAMILIES,
    TEXTS,
    WRITTEN,
    change_json,
    copy_family,
    find_minilm,
    make_sentences,
    read,
    read_expected,
    split,
)
from ..pipelines import BILM, TRANSFORMER, blank, initialised, inline_model, ner_config
from ..pretraining import load, pretrain, tiny_config
from .command import run, run_well

BERT = FAMILIES / "bert"
#: Texts of which spaCy keeps every character.
I_TEXTS = (0, 2, 3, 5)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def get_encoder(nlp: Language) -> torch.nn.Module:
    return get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder  # type: ignore[attr-defined] # a PipeCallable


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "bert_mlm"])
def test_the_pipeline_gives_the_models_vectors(name: str, tmp_path: Path) -> None:
    """The mean of all pieces is that of sentence-transformers."""
    folder = make_sentences(copy_family(name, tmp_path / "model"), "Transformer", "Pooling")
    run_well("import", "bert", folder, tmp_path / "out")
    nlp = spacy.load(tmp_path / "out")
    _, expected = read_expected(name)
    for i in I_TEXTS:
        vector = nlp(TEXTS[i]).vector
        np.testing.assert_allclose(vector, expected[i][-1].mean(axis=0), rtol=1e-5, atol=1e-5)


def test_what_is_written(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    output = run_well("import", "bert", folder, tmp_path / "new" / "out")
    assert (
        "a model of the type bert: 2 blocks, width 12, vocabulary of 260, 0.0M parameters" in output
    )
    assert "Vectors of texts" not in output
    assert names_in(tmp_path / "new") == {"out"}
    for path in folder.iterdir():
        path.unlink()
    nlp = spacy.load(tmp_path / "new" / "out")
    assert nlp.pipe_names == ["ctxemb"] and nlp.lang == "en"
    component = nlp.config["components"]["ctxemb"]
    model = component["model"]
    assert component["doc_pooling"] is None and component["normalize"] is False
    assert model["encoder"] == {
        "@architectures": "spacy-ctxemb.Transformer.v1",
        **read("bert").settings,
    }
    assert model["mix"] == {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1}
    assert model["window"] == read("bert").settings["max_length"] - 2
    assert model["split_sentences"] is False and model["width"] is None
    assert nlp("Ada Lovelace's café.").tensor.any(axis=1).all()


@pytest.mark.parametrize("pooling, normalize", [("cls", False), ("mean", True), ("max", True)])
def test_what_sentence_transformers_say(pooling: str, normalize: bool, tmp_path: Path) -> None:
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    folder = make_sentences(copy_family("bert", tmp_path / "model"), *kinds, pooling_mode=pooling)
    change_json(folder / "0_Transformer" / "sentence_bert_config.json", max_seq_length=64)
    prompts = {"prompts": {"q": "query: "}, "default_prompt_name": "q"}
    change_json(folder / "config_sentence_transformers.json", **prompts)
    output = run_well("import", "bert", folder, tmp_path / "out")
    assert f"Vectors of texts: {pooling} of their pieces" in output
    assert ("of length 1" in output) == normalize
    assert "cuts texts after 64 pieces; here they are read to their end" in output
    assert "puts 'query: ' before each text; here you do it" in output
    nlp = spacy.load(tmp_path / "out")
    component = nlp.config["components"]["ctxemb"]
    assert (component["doc_pooling"], component["normalize"]) == (pooling, normalize)
    top = read_expected("bert")[1][0][-1]
    expected = {"cls": top[0], "mean": top.mean(axis=0), "max": top.max(axis=0)}[pooling]
    expected = expected / np.linalg.norm(expected) if normalize else expected
    np.testing.assert_allclose(nlp(TEXTS[0]).vector, expected, rtol=1e-5, atol=1e-5)


def test_vectors_of_tokens_alone(tmp_path: Path) -> None:
    kinds = ["Transformer", "Pooling", "Normalize"]
    folder = make_sentences(copy_family("bert", tmp_path / "model"), *kinds)
    output = run_well("import", "bert", folder, tmp_path / "out", "--no-pooling")
    assert "Vectors of texts" not in output
    component = spacy.load(tmp_path / "out").config["components"]["ctxemb"]
    assert (component["doc_pooling"], component["normalize"]) == (None, False)


@pytest.mark.parametrize(
    "layers, width", [("top", 12), ("average", 12), ("last4", 12), ("all", 36)]
)
def test_which_layers(layers: str, width: int, tmp_path: Path) -> None:
    name = "modernbert" if layers == "last4" else "bert"
    output = run_well("import", "bert", FAMILIES / name, tmp_path / "out", "--layers", layers)
    assert ("mixed evenly" in output) == (layers == "average")
    nlp = spacy.load(tmp_path / "out", config={"components": {"ctxemb": {"keep": "layers"}}})
    doc = nlp("Nobody came.")
    expected = {
        "top": doc._.ctxemb[-1],
        "average": doc._.ctxemb.mean(axis=0),
        "last4": doc._.ctxemb[-4:].mean(axis=0),
        "all": np.concatenate(list(doc._.ctxemb), axis=1),
    }
    assert doc.tensor.shape == (3, width)
    np.testing.assert_allclose(doc.tensor, expected[layers], rtol=1e-5, atol=1e-6)


def test_a_projection_is_random(tmp_path: Path) -> None:
    output = run_well("import", "bert", BERT, tmp_path / "out", "--width", "3")
    assert "The projection to width 3 is random until it is trained" in output
    assert spacy.load(tmp_path / "out")("two words").tensor.shape == (2, 3)


def test_another_language(tmp_path: Path) -> None:
    run_well("import", "bert", BERT, tmp_path / "out", "--lang", "pt")
    assert spacy.load(tmp_path / "out").lang == "pt"


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    for arguments in (("import", "bert", BERT), ("export", "bert", tmp_path / "out")):
        if arguments[0] == "export":
            run_well("import", "bert", BERT, tmp_path / "out")
        for target in (tmp_path, tmp_path / "precious"):
            code, output = run(*arguments, target)
            assert code == 1 and "[E362]" in output and "exists already" in output
    assert names_in(tmp_path) == {"precious", "out"}


def test_vectors_that_memory_cannot_hold(tmp_path: Path) -> None:
    code, output = run("import", "bert", FAMILIES / "bert", tmp_path / "out", "--width", 10**12)
    assert code == 1 and "[E525] Memory is not enough: " in output
    assert not (tmp_path / "out").exists()


def test_errors_are_messages(tmp_path: Path) -> None:
    code, output = run("import", "bert", tmp_path / "nothing", tmp_path / "out")
    assert code == 1 and "[E330]" in output and "is not there" in output
    folder = copy_family("bert", tmp_path / "model")
    change_json(folder / "config.json", model_type="longformer")
    code, output = run("import", "bert", folder, tmp_path / "out")
    assert code == 1 and "[E332]" in output and "Import it with --wrap" in output
    assert names_in(tmp_path) == {"model"}


@pytest.mark.parametrize("name", WRITTEN)
def test_an_import_is_exported_as_it_was(name: str, tmp_path: Path) -> None:
    run_well("import", "bert", FAMILIES / name, tmp_path / "pipeline")
    output = run_well("export", "bert", tmp_path / "pipeline", tmp_path / "new" / "out")
    assert f"a model of the type {WRITTEN[name]}" in output and "not part of the format" in output
    assert names_in(tmp_path / "new") == {"out"}
    found, expected = read_bert(tmp_path / "new" / "out"), read(name)
    assert found.settings == expected.settings and split(found) == split(expected)
    for key, value in expected.tensors.items():
        assert torch.equal(found.tensors[key], value)


def test_an_encoder_that_was_trained_here(tmp_path: Path) -> None:
    nlp = initialised(TRANSFORMER)
    nlp.to_disk(tmp_path / "pipeline")
    run_well("export", "bert", tmp_path / "pipeline", tmp_path / "out")
    found, expected = read_bert(tmp_path / "out").tensors, get_encoder(nlp).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_which_component_is_exported(tmp_path: Path) -> None:
    nlp = blank(TRANSFORMER)
    nlp.add_pipe("ctxemb", name="elmo", config={"model": BILM})
    nlp.add_pipe("ner", config=ner_config(inline_model(TRANSFORMER)))
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    code, output = run("export", "bert", tmp_path / "pipeline", tmp_path / "out")
    assert code == 1 and "[E361]" in output and "are ['ctxemb', 'ner']; exactly one" in output
    run_well("export", "bert", tmp_path / "pipeline", tmp_path / "out", "--component", "ner")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["hidden_size"] == 16


def test_no_component_to_export(tmp_path: Path) -> None:
    initialised(BILM).to_disk(tmp_path / "pipeline")
    code, output = run("export", "bert", tmp_path / "pipeline", tmp_path / "out")
    assert code == 1 and "[E361]" in output and "are []; exactly one" in output


def test_a_component_without_weights(tmp_path: Path) -> None:
    blank(TRANSFORMER).to_disk(tmp_path / "pipeline")
    code, output = run("export", "bert", tmp_path / "pipeline", tmp_path / "out")
    assert code == 1 and "[E008]" in output
    assert not (tmp_path / "out").exists()


#: The head of BERT, and that of the one family that normalises before.
HEADS = {
    False: ("BertForMaskedLM", "bert.", "cls.predictions."),
    True: ("RobertaPreLayerNormForMaskedLM", "roberta_prelayernorm.", "lm_head."),
}


@pytest.fixture(scope="module", params=HEADS)
def pretrained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a config of masked language modelling and what it has trained."""
    directory = tmp_path_factory.mktemp("mlm")
    changes: dict[str, Any] = {
        "pretraining__max_epochs": 2,
        "components__ctxemb__model__encoder__pre_norm": request.param,
        "components__ctxemb__model__encoder__vocab_size": 310,
        "components__ctxemb__model__pieces__vocab_size": 310,
    }
    config = tiny_config("mlm", directory, **changes)
    config.to_disk(directory / "config.cfg")
    pretrain(config, directory)
    return directory


def test_a_pretrained_head(pretrained: Path, tmp_path: Path) -> None:
    config, weights = pretrained / "config.cfg", pretrained / "model-last.bin"
    shim = load(load_config(config), weights)
    n, encoder = shim.objective.n_pieces, shim.embedder.encoder
    architecture, prefix, head = HEADS[encoder.final_norm is not None]
    output = run_well("export", "bert", config, tmp_path / "out", "--weights", weights)
    assert f"a model of the type {architecture}" in output and "Layer mix" not in output
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert settings["architectures"] == [architecture] and settings["vocab_size"] == n < 310
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    embedding = tensors[f"{prefix}embeddings.word_embeddings.weight"]
    assert torch.equal(embedding, encoder.piece_embedding.weight[:n])
    assert torch.equal(tensors[f"{head}bias"], shim.objective.bias)
    assert any(name.startswith(head) and name.endswith("dense.weight") for name in tensors)
    model = read_bert(tmp_path / "out")
    assert torch.equal(model.tensors["norm.weight"], encoder.norm.weight)


def test_weights_need_a_pretraining_config(pretrained: Path, tmp_path: Path) -> None:
    blank(TRANSFORMER).config.to_disk(tmp_path / "config.cfg")
    weights = pretrained / "model-last.bin"
    code, output = run(
        "export", "bert", tmp_path / "config.cfg", tmp_path / "out", "--weights", weights
    )
    assert code == 1 and "[E438]" in output


def test_a_wrapped_model(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    run_well("import", "bert", BERT, tmp_path / "own")
    run_well("import", "bert", BERT, tmp_path / "wrapped", "--wrap")
    own, wrapped = spacy.load(tmp_path / "own"), spacy.load(tmp_path / "wrapped")
    architecture = wrapped.config["components"]["ctxemb"]["model"]["encoder"]["@architectures"]
    assert architecture == "spacy-ctxemb.HuggingFace.v1"
    for i in I_TEXTS:
        np.testing.assert_allclose(
            own(TEXTS[i]).tensor, wrapped(TEXTS[i]).tensor, rtol=1e-5, atol=1e-5
        )
    run_well("export", "bert", tmp_path / "wrapped", tmp_path / "out")
    assert read_bert(tmp_path / "out").settings == read("bert").settings


def test_vectors_of_texts_of_a_published_model(tmp_path: Path) -> None:
    folder = find_minilm()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sentence_transformers = pytest.importorskip(
            "sentence_transformers", reason="sentence-transformers is not installed"
        )
        theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
        expected = theirs.encode(TEXTS)
    run_well("import", "bert", folder, tmp_path / "out")
    nlp = spacy.load(tmp_path / "out")
    for i in I_TEXTS:
        np.testing.assert_allclose(nlp(TEXTS[i]).vector, expected[i], rtol=1e-4, atol=1e-5)
