"""Models by their names on the hub."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from huggingface_hub import constants

import spacy_ctxemb
from spacy_ctxemb.remote.choose_files import choose_files
from spacy_ctxemb.remote.download_from_hub import download_model as download_chosen
from spacy_ctxemb.remote.find_model import Found, add_revision, find_folder, is_hub_name

from ..bert_models import FAMILIES, change_json, copy_family, find_minilm, make_sentences
from ..cli.command import run, run_well
from .hub import TOKEN, Hub

BERT = FAMILIES / "bert"
NAME = "owner/tiny-bert"
TEXT = "Ada Lovelace lives in Oslo."

#: What no pipeline needs.
OTHERS = {
    "README.md": b"a model",
    ".gitattributes": b"",
    "flax_model.msgpack": b"flax",
    "onnx/config.json": b"{}",
    "onnx/model.onnx": b"onnx",
    "openvino/openvino_model.xml": b"openvino",
    "pytorch_model.bin": b"a pickle",
    "tf_model.h5": b"tensorflow",
    "training_args.bin": b"a pickle",
    "checkpoint-500/model.safetensors": b"other weights",
    "checkpoint-500/optimizer.pt": b"a pickle",
}


def download_model(name: str) -> Found:
    return download_chosen(name, choose_files)


def read_folder(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def commit(hub: Hub) -> str:
    return hub.add(NAME, read_folder(BERT) | OTHERS)


def encode(nlp: Any) -> Any:
    return nlp(TEXT).tensor


def test_a_name_gives_what_the_files_give(hub: Hub, commit: str) -> None:
    nlp = spacy_ctxemb.load(NAME)
    np.testing.assert_array_equal(encode(nlp), encode(spacy_ctxemb.load(BERT)))
    assert nlp.meta["ctxemb"] == {"ctxemb": [{"source": NAME, "revision": commit}]}


def test_only_what_is_needed_is_downloaded(hub: Hub, commit: str) -> None:
    download_model(NAME)
    needed = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert hub.downloaded() == needed
    before = len(hub.requests)
    download_model(NAME)
    assert not any("/resolve/" in request.path for request in hub.requests[before:])


def test_the_token_is_sent_to_the_hub_alone(
    hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    download_model(NAME)
    has_token = {"/cdn/" in r.path: "authorization" in r.headers for r in hub.requests}
    assert has_token == {False: True, True: False}


def test_revisions(hub: Hub, commit: str) -> None:
    other = hub.add(NAME, FAMILIES / "distilbert", branch="v2")
    newest = hub.add(NAME, FAMILIES / "electra")
    assert len({commit, other, newest}) == 3
    for name, expected in [
        (NAME, newest),
        (f"{NAME}@v2", other),
        (f"{NAME}@{commit}", commit),
        (add_revision(NAME, "v2"), other),
    ]:
        found = download_model(name)
        assert (found.source, found.revision) == (NAME, expected)
    nlp = spacy_ctxemb.load(NAME, revision=commit)
    assert nlp.meta["ctxemb"]["ctxemb"][0]["revision"] == commit
    with pytest.raises(ValueError, match=r"\[E372\] The revision v3 of .* name has one already"):
        spacy_ctxemb.load(f"{NAME}@v2", revision="v3")


@pytest.mark.parametrize("name, weights", [("bert_sharded", 3), ("bert_mlm", 1)])
def test_other_weights(hub: Hub, name: str, weights: int) -> None:
    """Shards, and a pickle where there is nothing else."""
    hub.add(NAME, FAMILIES / name)
    np.testing.assert_array_equal(
        encode(spacy_ctxemb.load(NAME)), encode(spacy_ctxemb.load(FAMILIES / name))
    )
    loaded = [file for file in hub.downloaded() if file.endswith((".safetensors", ".bin"))]
    assert len(loaded) == weights


def test_sentence_transformers(hub: Hub, tmp_path: Path) -> None:
    kinds = ["Transformer", "Pooling", "Normalize"]
    folder = make_sentences(copy_family("bert", tmp_path / "model"), *kinds, pooling_mode="cls")
    hub.add(NAME, {**read_folder(folder), **OTHERS})
    nlp = spacy_ctxemb.load(NAME)
    np.testing.assert_array_equal(nlp(TEXT).vector, spacy_ctxemb.load(folder)(TEXT).vector)
    component = nlp.config["components"]["ctxemb"]
    assert (component["doc_pooling"], component["normalize"]) == ("cls", True)
    assert not any(file.startswith(("onnx", "checkpoint")) for file in hub.downloaded())


# ---- what goes wrong


def refuse(message: str, name: str = NAME) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        download_model(name)


def test_a_wrong_name(hub: Hub, commit: str) -> None:
    refuse(r"\[E371\] There is no folder owner/nothing here, and http://127", "owner/nothing")
    code, output = run("import", "bert", "owner/nothing", "out")
    assert code == 1 and "[E371]" in output and not Path("out").exists()


def test_a_wrong_revision(hub: Hub, commit: str) -> None:
    refuse(r"\[E372\] The revision v9 of owner/tiny-bert cannot be taken", f"{NAME}@v9")


def test_a_gated_model(hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[NAME].is_gated = True
    refuse(r"\[E373\] http.* refuses access to owner/tiny-bert.* set HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert download_model(NAME).revision == commit


def test_a_private_model(hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[NAME].is_private = True
    refuse(r"\[E371\] .* If the model is private, set HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert download_model(NAME).revision == commit


def test_offline(hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refuse(r"\[E370\] There is no folder owner/tiny-bert here, http.*lacks all files")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = download_model(NAME).path
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in (NAME, f"{NAME}@{commit}"):
        assert download_model(name).revision == commit
    (folder / "model.safetensors").unlink()
    refuse(r"\[E370\] .*lacks model.safetensors")


def test_a_hub_that_is_gone(hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    download_model(NAME)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert download_model(NAME).revision == commit
    refuse(r"\[E370\] .*http://127.0.0.1:9 cannot be reached for owner/b ", "owner/b")


def test_a_hub_that_fails_and_recovers(hub: Hub, commit: str) -> None:
    hub.failures["/api/models"] = [500]
    refuse(r"\[E370\] .* cannot be reached for owner/tiny-bert \(.*500")
    assert download_model(NAME).revision == commit
    hub.failures["/api/models"] = [503]
    assert download_model(NAME).revision == commit


def test_a_download_that_breaks_off_goes_on(
    hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    hub.cuts["/cdn/"] = (1000, 1)
    assert download_model(NAME).revision == commit
    assert [r.headers["range"] for r in hub.requests if "range" in r.headers] == ["bytes=1000-"]


def test_a_download_that_ends_broken_off(
    hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    hub.cuts["/cdn/"] = (0, 100)
    refuse(r"\[E375\] The download of owner/tiny-bert broke off: .*Run this again")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refuse(r"\[E370\] .*lacks model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.cuts.clear()
    assert (download_model(NAME).path / "model.safetensors").is_file()


def test_a_full_disk(hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(*arguments: Any, **named: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    refuse(r"\[E374\] The disk is full: owner/tiny-bert cannot be saved in .*cache\. .*HF_HOME")


@pytest.mark.parametrize(
    "files, missing",
    [
        ({"README.md": b""}, "config.json"),
        ({"config.json": b"{}", "tf_model.h5": b""}, "weights in model.safetensors or pytorch"),
        ({"onnx/config.json": b"{}", "onnx/model.safetensors": b""}, "config.json"),
    ],
)
def test_a_repository_without_a_model(hub: Hub, files: dict[str, bytes], missing: str) -> None:
    hub.add(NAME, files)
    refuse(rf"\[E377\] owner/tiny-bert has no {missing}.*, but ")
    assert hub.downloaded() == []


# ---- names and paths


def test_what_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "local").mkdir(parents=True)
    names = ["other/name", "other/name@main", "owner/name@refs/pr/1", "bert-base-uncased"]
    assert all(map(is_hub_name, names))
    paths = ["./x", "../x", "/x", "~/x", "a/b/c", "owner/local", "owner/name", "a\\b", "x/", ""]
    assert not any(map(is_hub_name, paths))


def test_a_missing_path_in_a_folder_that_is_there(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training").mkdir()
    commit = hub.add("training/model-best", read_folder(BERT))
    message = (
        r"\[E396\] There is no training/model-best\. .* folder training here, .*-best@main for"
    )
    with pytest.raises(ValueError, match=message):
        spacy_ctxemb.load("training/model-best")
    assert not hub.requests
    for revision in ("main", commit):
        assert find_folder(f"training/model-best@{revision}").revision == commit


@pytest.mark.parametrize("name", ["./nothing", "../nothing", "/nothing", "a/b/c"])
def test_a_missing_path_is_never_asked_for(hub: Hub, name: str, no_socket: None) -> None:
    code, output = run("import", "bert", name, "out")
    assert code == 1 and f"[E330] {name.removeprefix('./')} is not there" in output
    assert not hub.requests


def test_the_page_of_a_model(hub: Hub, commit: str) -> None:
    for page in ("", "/", f"/tree/{commit}"):
        found = find_folder(f"https://huggingface.co/{NAME}{page}")
        assert (found.source, found.revision) == (NAME, commit)
    with pytest.raises(ValueError, match=r"\[E378\] .* a model has several files"):
        find_folder("https://example.org/model.zip")


def test_files_that_are_chosen() -> None:
    names = {"config.json", "model.safetensors.index.json", "vocab.txt", "model.fp16.safetensors"}
    names |= {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
    names |= {"pytorch_model-00001-of-00002.bin", "consolidated.safetensors"}
    chosen = choose_files(names, lambda file: [], "x")
    assert set(chosen) == {
        *("config.json", "vocab.txt", "model.safetensors.index.json"),
        *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
    }


# ---- commands and components


def test_the_import_command(hub: Hub, commit: str, tmp_path: Path) -> None:
    output = run_well("import", "bert", f"{NAME}@main", tmp_path / "out")
    assert f"From {NAME} at {commit}" in output
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["ctxemb"] == {"ctxemb": [{"source": NAME, "revision": commit}]}


def test_a_config_for_a_name(hub: Hub, commit: str, tmp_path: Path) -> None:
    config = tmp_path / "config.cfg"
    output = run_well("init-config", config, "--encoder", NAME, "--task", "ner")
    assert f"From {NAME} at {commit}" in output
    folder = tmp_path / "tiny-bert-pipeline"
    assert str(folder.resolve()) in config.read_text()
    before = len(hub.requests)
    output = run_well("init-config", config, "--encoder", NAME, "--task", "ner", "--force")
    assert f"The encoder is that of {folder}" in output and len(hub.requests) == before
    shutil.rmtree(folder / "ctxemb")
    change_json(folder / "meta.json", ctxemb={})
    code, output = run("init-config", config, "--encoder", NAME, "--force")
    assert code == 1 and "[E362]" in output


def test_a_loader_of_weights(hub: Hub, commit: str) -> None:
    nlp = spacy_ctxemb.load(BERT)
    config = nlp.config.copy()
    loader = {"@misc": "spacy-ctxemb.BertWeights.v1", "path": f"{NAME}@{commit}"}
    config["initialize"]["components"]["ctxemb"] = {"encoder_loader": loader}
    other = spacy.util.load_model_from_config(config)
    assert not hub.requests
    other.initialize()
    np.testing.assert_array_equal(encode(other), encode(nlp))


def test_a_component_by_name(
    hub: Hub, commit: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kinds = ["Transformer", "Pooling", "Normalize"]
    folder = make_sentences(copy_family("bert", tmp_path / "model"), *kinds, pooling_mode="max")
    commit = hub.add(NAME, folder)
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": NAME})
    vector, tensor = nlp(TEXT).vector, encode(nlp)
    np.testing.assert_array_equal(vector, spacy_ctxemb.load(folder)(TEXT).vector)
    component = nlp.config["components"]["ctxemb"]
    assert component["pretrained"] == NAME
    assert (component["doc_pooling"], component["normalize"]) == ("max", True)
    assert component["model"]["encoder"]["width"] == tensor.shape[1]
    assert nlp.meta["ctxemb"]["ctxemb"] == [{"source": NAME, "revision": commit}]
    nlp.to_disk(tmp_path / "pipeline")

    # What is saved loads without a connection, and so does its config.
    del hub.repositories[NAME]
    shutil.rmtree(tmp_path / "cache")
    request.getfixturevalue("no_socket")
    loaded = spacy.load(tmp_path / "pipeline")
    np.testing.assert_array_equal(loaded(TEXT).vector, vector)
    assert loaded.meta["ctxemb"] == nlp.meta["ctxemb"]
    again = spacy.blank("en").from_config(nlp.config)
    with pytest.raises(RuntimeError, match=r"\[E379\] .*'ctxemb' is .*owner/tiny.*never loaded"):
        again(TEXT)
    np.testing.assert_array_equal(
        spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())(TEXT).vector, vector
    )


def test_initialize_reads_it(hub: Hub, commit: str) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": f"{NAME}@{commit}"})
    other = spacy.util.load_model_from_config(nlp.config)
    before = len(hub.requests)
    other.initialize()
    assert len(hub.requests) > before
    np.testing.assert_array_equal(encode(other), encode(nlp))


def test_origins_are_noted_where_weights_are_read(hub: Hub, commit: str, tmp_path: Path) -> None:
    """By initialize too; what was noted before does not stay."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": NAME})
    newer = hub.add(NAME, read_folder(BERT))
    nlp.initialize()
    assert nlp.meta["ctxemb"] == {"ctxemb": [{"source": NAME, "revision": newer}]}
    config = nlp.config.copy()
    config["components"]["ctxemb"]["pretrained"] = None
    loader = {"@misc": "spacy-ctxemb.BertWeights.v1", "path": f"{NAME}@{commit}"}
    config["initialize"]["components"]["ctxemb"] = {"encoder_loader": loader}
    other = spacy.util.load_model_from_config(config)
    other.initialize()
    other.to_disk(tmp_path / "saved")
    meta = json.loads((tmp_path / "saved" / "meta.json").read_text())
    assert meta["ctxemb"] == {"ctxemb": [{"source": NAME, "revision": commit}]}
    other.config["initialize"]["components"]["ctxemb"]["encoder_loader"]["path"] = str(BERT)
    other.initialize()
    assert "ctxemb" not in other.meta


def test_a_path_that_is_gone(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": str(folder)})
    nlp.to_disk(tmp_path / "saved")
    folder.rename(tmp_path / "elsewhere")
    other = spacy.load(tmp_path / "saved")
    message = r"\[E330\] .*model is not there.* the value of pretrained in \[components.ctxemb\]"
    with pytest.raises(ValueError, match=message):
        other.initialize()


def test_a_config_without_the_model(hub: Hub, commit: str, no_socket: None) -> None:
    config = {
        "nlp": {"lang": "en", "pipeline": ["ctxemb"]},
        "components": {"ctxemb": {"factory": "ctxemb", "pretrained": NAME}},
    }
    with pytest.raises(ValueError, match=r"\[E379\] .*has not the encoder .* init-config --enc"):
        spacy.util.load_model_from_config(config, auto_fill=True)
    assert not hub.requests


def test_a_component_with_another_encoder(hub: Hub, commit: str) -> None:
    nlp = spacy.blank("en")
    model = spacy_ctxemb.load(FAMILIES / "distilbert").config["components"]["ctxemb"]["model"]
    with pytest.raises(ValueError, match=r"\[E360\] The model in owner/tiny-bert .* n_segments"):
        nlp.add_pipe("ctxemb", config={"model": model, "pretrained": NAME})


def test_layers_of_another_name() -> None:
    with pytest.raises(ValueError, match=r"\[E395\] layers is some, which is none of top, av"):
        spacy_ctxemb.load(BERT, layers="some")


def test_a_published_model(hub: Hub) -> None:
    """The files of a package are those that the hub has."""
    name = "sentence-transformers/all-MiniLM-L6-v2"
    hub.add(name, find_minilm())
    nlp = spacy_ctxemb.load(name)
    other = spacy.blank("en")
    other.add_pipe("ctxemb", config={"pretrained": "minilm"})
    np.testing.assert_array_equal(encode(nlp), encode(other))
    np.testing.assert_array_equal(nlp(TEXT).vector, other(TEXT).vector)


PROGRAM = """
import socket, sys
connect = socket.socket.connect
def guard(self, address):
    assert address[0] in ("127.0.0.1", "localhost", "::1"), address
    return connect(self, address)
socket.socket.connect = guard
import spacy_ctxemb
nlp = spacy_ctxemb.load("owner/tiny-bert")
print(nlp("a b").tensor.sum(), nlp.meta["ctxemb"]["ctxemb"][0]["revision"])
"""


def test_another_process_with_the_hubs_variables(hub: Hub, commit: str, tmp_path: Path) -> None:
    environment = {
        **{key: value for key, value in os.environ.items() if "proxy" not in key.lower()},
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
    }

    def call(**more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(command, env=environment | more, capture_output=True, text=True)

    first = call()
    assert first.returncode == 0 and commit in first.stdout, first.stderr
    assert "%" not in first.stderr  # no progress bars but on a terminal
    n_requests = len(hub.requests)
    assert call(HF_HUB_OFFLINE="1").stdout == first.stdout
    assert len(hub.requests) == n_requests
