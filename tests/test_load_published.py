"""Pipelines of published models: what is added for a trained head."""

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy

import spacy_ctxemb

from .bert_models import FAMILIES, change_json, copy_family
from .checkpoints.bert.test_merge_adapter import write_adapter
from .cli.command import run, run_well
from .heads.published import save
from .remote.hub import Hub, point_at

TEXT = "Ada Lovelace lives in Oslo. The river is long."


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """transformers warns of heads without weights."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        point_at(hub, tmp_path, monkeypatch)
        yield hub


#: The component of each task.
COMPONENTS = {
    "token": "ctxemb_ner",
    "text": "ctxemb_textcat",
    "question": "ctxemb_qa",
    "masked": "ctxemb_fill_mask",
}


@pytest.fixture(params=COMPONENTS)
def task(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    save("bert", request.param, tmp_path / "model")
    return str(request.param)


def test_heads_by_name(task: str, hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/model", tmp_path / "model")
    nlp = spacy_ctxemb.load("owner/model", head=task)
    assert nlp.pipe_names == ["ctxemb", COMPONENTS[task]]
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    for one in (nlp, loaded):
        assert ask(one, task) == ask(nlp, task)


def ask(nlp: Any, task: str) -> Any:
    """What a head says of a text."""
    doc, pipe = nlp(TEXT), nlp.get_pipe(COMPONENTS[task])
    if task == "token":
        return [(ent.text, ent.label_) for ent in doc.ents]
    if task == "text":
        return doc.cats
    if task == "question":
        return [span.text for span in pipe.answer("Who lives in Oslo?", doc)]
    return pipe.fill_mask(doc, 2, 3)


def test_the_head_that_is_named_is_taken_along(task: str, tmp_path: Path) -> None:
    """But that of language modelling, which most encoders have."""
    expected = ["ctxemb"] if task == "masked" else ["ctxemb", COMPONENTS[task]]
    assert spacy_ctxemb.load(tmp_path / "model").pipe_names == expected
    assert spacy_ctxemb.load(tmp_path / "model", head="none").pipe_names == ["ctxemb"]


def test_the_command(tmp_path: Path) -> None:
    save("bert", "token", tmp_path / "model")
    output = run_well("import", "bert", tmp_path / "model", tmp_path / "out")
    assert "with the head BertForTokenClassification" in output
    assert spacy.load(tmp_path / "out").pipe_names == ["ctxemb", "ctxemb_ner"]
    run_well("import", "bert", tmp_path / "model", tmp_path / "other", "--head", "none")
    assert spacy.load(tmp_path / "other").pipe_names == ["ctxemb"]


def test_a_head_that_is_unknown_is_left_out(tmp_path: Path) -> None:
    save("bert", "token", tmp_path / "model")
    change_json(tmp_path / "model" / "config.json", architectures=["BertForMultipleChoice"])
    with pytest.warns(UserWarning, match=r"\[W015\] The head is left out\. \[E380\]"):
        assert spacy_ctxemb.load(tmp_path / "model").pipe_names == ["ctxemb"]
    with pytest.raises(ValueError, match=r"\[E335\] .* lacks the tensors qa_outputs"):
        spacy_ctxemb.load(tmp_path / "model", head="question")


def test_a_zip_file_beside_a_model(tmp_path: Path) -> None:
    """Only a folder that is nothing else is one of an ELMo."""
    folder = copy_family("bert", tmp_path / "model")
    (folder / "data.zip").write_bytes(b"PK")
    assert spacy_ctxemb.load(folder).pipe_names == ["ctxemb"]


def test_an_encoder_has_none() -> None:
    nlp = spacy_ctxemb.load(FAMILIES / "bert")
    assert nlp.pipe_names == ["ctxemb"] and "ctxemb" not in nlp.meta
    with pytest.raises(ValueError, match=r"\[E335\] .* lacks the tensors classifier"):
        spacy_ctxemb.load(FAMILIES / "bert", head="token")


def test_a_model_that_transformers_runs(tmp_path: Path) -> None:
    save("bert", "text", tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["architectures"]
    assert spacy_ctxemb.load(tmp_path / "model", wrap=True).pipe_names == ["ctxemb"]


def test_a_head_is_refused_with_wrap_before_anything_is_read() -> None:
    message = r"\[E398\] The head token was asked for, .* Import it without wrap"
    with pytest.raises(ValueError, match=message):
        spacy_ctxemb.load("./nothing", wrap=True, head="token")
    code, output = run("import", "bert", "./nothing", "out", "--wrap", "--head", "question")
    assert code == 1 and "[E398] The head question was asked for" in output
    with pytest.raises(ValueError, match=r"\[E330\]"):
        spacy_ctxemb.load("./nothing", wrap=True, head="none")


def test_the_head_of_an_adapter(tmp_path: Path) -> None:
    """peft stores it beside the adapter; its labels are in config.json."""
    base = copy_family("bert", tmp_path / "base")
    settings = {"target_modules": ["query"], "r": 2, "task_type": "TOKEN_CLS"}
    write_adapter(base, tmp_path / "adapter", "ForTokenClassification", **settings)
    nlp = spacy_ctxemb.load(tmp_path / "adapter")
    assert nlp.pipe_names == ["ctxemb", "ctxemb_ner"]
    assert nlp.get_pipe("ctxemb_ner").classes == ("LABEL_0", "LABEL_1")
    labels = {"id2label": {"0": "O", "1": "B-PER"}, "architectures": ["BertForTokenClassification"]}
    shutil.copy(base / "config.json", tmp_path / "adapter")
    change_json(tmp_path / "adapter" / "config.json", **labels)
    nlp = spacy_ctxemb.load(tmp_path / "adapter")
    assert nlp.get_pipe("ctxemb_ner").labels == ("PER",)


@pytest.mark.parametrize("of_base", [None, 2, 3])
def test_labels_of_an_adapter_without_config_json(of_base: int | None, tmp_path: Path) -> None:
    """Those of its base count only where there are as many."""
    base = copy_family("bert", tmp_path / "base")
    labels = {} if of_base is None else {"id2label": {str(i): f"B-{i}" for i in range(of_base)}}
    config = json.loads((base / "config.json").read_text())
    change_json(base / "config.json", id2label={str(i): f"X{i}" for i in range(3)})
    settings = {"target_modules": ["query"], "r": 2, "task_type": "TOKEN_CLS"}
    write_adapter(base, tmp_path / "adapter", "ForTokenClassification", **settings)
    (base / "config.json").write_text(json.dumps(config | labels))
    output = run_well("import", "bert", tmp_path / "adapter", tmp_path / "out")
    named = [f"B-{i}" if of_base == 3 else f"LABEL_{i}" for i in range(3)]
    assert f"of the labels {', '.join(named)} (no config.json is beside the adapter" in output
    nlp = spacy.load(tmp_path / "out")
    assert nlp.get_pipe("ctxemb_ner").classes == tuple(named)


def test_messages_name_the_files_of_an_adapters_base(tmp_path: Path) -> None:
    base = copy_family("bert", tmp_path / "base")
    write_adapter(base, tmp_path / "adapter", target_modules=["query"], r=2)
    change_json(base / "config.json", num_hidden_layers="x")
    with pytest.raises(ValueError, match=rf"In {base}/config.json, num_hidden_layers is"):
        spacy_ctxemb.load(tmp_path / "adapter")


def test_an_adapter_and_its_base_by_name(hub: Hub, tmp_path: Path) -> None:
    base = copy_family("bert", tmp_path / "base")
    first = hub.add("owner/base", base)
    hub.add("owner/base", FAMILIES / "electra")
    write_adapter(base, tmp_path / "adapter", target_modules=["query"], r=2)
    expected = spacy_ctxemb.load(tmp_path / "adapter")(TEXT).tensor
    config = tmp_path / "adapter" / "adapter_config.json"
    change_json(config, base_model_name_or_path="owner/base", revision=first)
    commit = hub.add("owner/adapter", tmp_path / "adapter")
    nlp = spacy_ctxemb.load("owner/adapter")
    np.testing.assert_array_equal(nlp(TEXT).tensor, expected)
    assert nlp.meta["ctxemb"]["ctxemb"] == [
        {"source": "owner/adapter", "revision": commit},
        {"source": "owner/base", "revision": first},
    ]
