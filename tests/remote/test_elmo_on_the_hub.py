"""ELMo models by their names on the hub."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import spacy

import spacy_ctxemb

from ..bert_models import FAMILIES
from ..cli.command import run, run_well
from ..elmo_models import write_model
from ..encoders.bilm_loop import Options
from .hub import Hub

NAME = "owner/elmo"
TEXT = "Ada Lovelace lives in Oslo."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "elmo", Options(max_characters=50)).options.parent


@pytest.fixture
def commit(hub: Hub, folder: Path) -> str:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    others = {"README.md": b"a model", "small/options.json": b"{}", "vocab.txt": b"a"}
    return hub.add(NAME, files | others)


def test_the_command(commit: str, hub: Hub, folder: Path, tmp_path: Path) -> None:
    output = run_well("import", "elmo", NAME, tmp_path / "out")
    assert f"From {NAME} at {commit}" in output
    assert hub.downloaded() == ["options.json", "weights.hdf5"]
    nlp = spacy.load(tmp_path / "out")
    assert nlp.meta["ctxemb"] == {"ctxemb": [{"source": NAME, "revision": commit}]}
    run_well("import", "elmo", folder, tmp_path / "local")
    expected = spacy.load(tmp_path / "local")(TEXT).tensor
    np.testing.assert_array_equal(nlp(TEXT).tensor, expected)
    same = spacy_ctxemb.load(folder)
    np.testing.assert_array_equal(same(TEXT).tensor, expected)


def test_python_and_its_cache(commit: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = spacy_ctxemb.load(NAME, layers="top")
    assert first.get_pipe("ctxemb").model.get_dim("nO") == 10  # type: ignore[attr-defined]
    n_requests = len([one for one in hub.requests if one.method == "GET" and "cdn" in one.path])
    assert n_requests == 1
    hub.failures["/"] = [503] * 50
    second = spacy_ctxemb.load(NAME, layers="top", revision="main")
    np.testing.assert_array_equal(first(TEXT).tensor, second(TEXT).tensor)


def test_weights_in_a_config(commit: str, tmp_path: Path) -> None:
    nlp = spacy_ctxemb.load(NAME)
    blank = spacy.blank("en")
    model = nlp.config["components"]["ctxemb"]["model"]
    blank.add_pipe("ctxemb", config={"model": model, "pretrained": None})
    loader = {"@misc": "spacy-ctxemb.ElmoWeights.v1", "options": f"{NAME}@{commit}"}
    blank.config["initialize"]["components"]["ctxemb"] = {"encoder_loader": loader}
    blank.initialize()
    np.testing.assert_array_equal(blank(TEXT).tensor, nlp(TEXT).tensor)
    assert blank.meta["ctxemb"]["ctxemb"][0]["revision"] == commit


@pytest.mark.parametrize("without", ["options.json", "weights.hdf5"])
def test_what_is_not_there(without: str, hub: Hub, folder: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != without}
    hub.add(NAME, files)
    (left,) = files
    code, output = run("import", "elmo", NAME, tmp_path / "out")
    assert code == 1 and f"[E399] {NAME} has no ELMo" in output and f"but {left}." in output
    assert f"/{NAME}/resolve/main/FILE" in output
    with pytest.raises(ValueError, match=r"\[E377\] .* no config.json"):
        spacy_ctxemb.load(NAME)
    assert hub.downloaded() == []


def test_two_models_in_one_place(hub: Hub, folder: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.add(NAME, files | {"small_options.json": json.dumps({}).encode()})
    code, output = run("import", "elmo", f"{NAME}@main", tmp_path / "out")
    assert code == 1 and "[E399]" in output and "but options.json, small_options.json" in output


def test_a_model_of_another_kind(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, FAMILIES / "bert")
    code, output = run("import", "elmo", NAME, tmp_path / "out")
    assert code == 1 and "[E399]" in output and "but config.json" in output
    assert not (tmp_path / "out").exists() and hub.downloaded() == []


def test_notes_follow_the_name(commit: str, tmp_path: Path) -> None:
    nlp = spacy_ctxemb.load(NAME)
    noted = [{"source": NAME, "revision": commit}]
    nlp.rename_pipe("ctxemb", "context")
    assert nlp.meta["ctxemb"] == {"context": noted}
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    loaded.rename_pipe("context", "ctxemb")
    assert loaded.meta["ctxemb"] == {"ctxemb": noted}
    other = spacy.blank("en")
    other.add_pipe("context", source=nlp, name="own")
    assert nlp.meta["ctxemb"] == {"context": noted}
    twin = copy.deepcopy(nlp)
    assert twin.meta["ctxemb"] == {"context": noted} and pickle.loads(pickle.dumps(nlp))(TEXT)
