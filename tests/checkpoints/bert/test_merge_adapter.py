"""LoRA adapters, compared with what peft computes."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import spacy_ctxemb
from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert
from spacy_ctxemb.checkpoints.bert.read_weight_files import read_tensors
from spacy_ctxemb.checkpoints.open_checkpoint import open_checkpoint

from ...bert_models import TEXTS, change_json, copy_family, encode, load, split

NEEDS_PEFT = "makes adapters, and is not installed"

#: Settings of adapters, and the class of transformers that they were trained in.
ADAPTERS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": ["query", "value"], "r": 4, "lora_alpha": 7},
    "rslora": {"target_modules": ["query", "dense"], "r": 3, "lora_alpha": 5, "use_rslora": True},
    "patterns": {
        "target_modules": ["query", "key", "value", "dense"],
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {"query": 2, r"layer\.1\.output\.dense": 3},
        "alpha_pattern": {"layer.0.attention.self.key": 3, "value": 16},
    },
    "some layers": {"target_modules": ["query"], "r": 2, "layers_to_transform": [1]},
    "all layers": {"target_modules": "all-linear", "r": 2},
    "embedding": {"target_modules": ["word_embeddings", "query"], "r": 2},
    "bias": {"target_modules": ["query"], "r": 2, "bias": "all"},
    "bias of adapters": {"target_modules": ["query"], "r": 2, "bias": "lora_only"},
    "transposed": {"target_modules": ["query"], "r": 2, "fan_in_fan_out": True},
    "saved layer": {
        "target_modules": ["query"],
        "r": 2,
        "modules_to_save": ["word_embeddings"],
    },
}


def write_adapter(base: Path, folder: Path, task: str = "", **settings: Any) -> dict[str, Any]:
    """An adapter of random values that peft has written, and the tensors that peft merges."""
    peft = pytest.importorskip("peft", reason=NEEDS_PEFT)
    transformers = pytest.importorskip("transformers", reason=NEEDS_PEFT)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(transformers, f"AutoModel{task}").from_pretrained(base)
        wrapped = peft.get_peft_model(model, peft.LoraConfig(**settings))
        for name, parameter in wrapped.named_parameters():
            if parameter.requires_grad or "lora_" in name:
                parameter.data = torch.randn_like(parameter) * 0.3
        wrapped.save_pretrained(str(folder))
        merged = peft.PeftModel.from_pretrained(
            getattr(transformers, f"AutoModel{task}").from_pretrained(base), str(folder)
        ).merge_and_unload()
    return dict(merged.state_dict())


@pytest.fixture(params=["bert", "roberta", "distilbert", "albert", "modernbert"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copy_family(request.param, tmp_path / "base")


#: Names of layers in families that have other ones.
TARGETS = {"distilbert": ["q_lin", "v_lin"], "modernbert": ["Wqkv", "Wo", "Wi"]}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return copy_family("bert", tmp_path / "base")


def compare(adapter: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    """Every layer, with what transformers' model with peft's weights gives, read as it is."""
    whole = tmp_path / "whole"
    with open_checkpoint(str(adapter)) as (folder, origins):
        assert len(origins) == 2
        found = read_bert(folder)
        shutil.copytree(origins[1].path, whole)
    save_file({n: v.clone() for n, v in expected.items()}, whole / "model.safetensors")
    theirs, ids = read_bert(whole), split(found)
    plain = encode(load(read_bert(origins[1].path)), ids)
    for ours, expected_layers, before in zip(
        encode(load(found), ids), encode(load(theirs), ids), plain, strict=True
    ):
        np.testing.assert_allclose(ours, expected_layers, rtol=1e-5, atol=1e-5)
        assert np.abs(ours - before).max() > 1e-3


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_of_bert(name: str, bert: Path, tmp_path: Path) -> None:
    expected = write_adapter(bert, tmp_path / "adapter", **ADAPTERS[name])
    compare(tmp_path / "adapter", expected, tmp_path)


def test_adapters_of_families(base: Path, tmp_path: Path) -> None:
    kind = json.loads((base / "config.json").read_text())["model_type"]
    targets = TARGETS.get(kind, ["query", "dense"])
    expected = write_adapter(base, tmp_path / "adapter", target_modules=targets, r=3)
    compare(tmp_path / "adapter", expected, tmp_path)


@pytest.mark.parametrize("task", ["ForTokenClassification", "ForSequenceClassification"])
def test_a_head_that_was_trained(task: str, bert: Path, tmp_path: Path) -> None:
    """The base has none, or another one; the names have a prefix that the base has not."""
    kind = {"ForTokenClassification": "TOKEN_CLS", "ForSequenceClassification": "SEQ_CLS"}[task]
    settings = {"target_modules": ["query"], "r": 2, "task_type": kind}
    expected = write_adapter(bert, tmp_path / "adapter", task, **settings)
    with open_checkpoint(str(tmp_path / "adapter")) as (folder, _):
        tensors = read_tensors(folder)
        read_bert(folder)
    for name in ("classifier.weight", "classifier.bias"):
        torch.testing.assert_close(tensors[name].value, expected[name])


def test_an_adapter_beside_the_weights(bert: Path, tmp_path: Path) -> None:
    expected = write_adapter(bert, tmp_path / "adapter", **ADAPTERS["plain"])
    for path in (tmp_path / "adapter").glob("adapter_*"):
        shutil.copy(path, bert)
    name = "encoder.layer.0.attention.self.query.weight"
    torch.testing.assert_close(read_tensors(bert)[name].value, expected[name])


def test_a_pipeline_of_an_adapter(bert: Path, tmp_path: Path) -> None:
    write_adapter(bert, tmp_path / "adapter", **ADAPTERS["plain"])
    nlp = spacy_ctxemb.load(tmp_path / "adapter")
    other = spacy_ctxemb.load(bert)
    assert np.abs(nlp(TEXTS[0]).tensor - other(TEXTS[0]).tensor).max() > 1e-3
    wrapped = spacy_ctxemb.load(tmp_path / "adapter", wrap=True)
    np.testing.assert_allclose(nlp(TEXTS[0]).tensor, wrapped(TEXTS[0]).tensor, rtol=1e-5, atol=1e-5)


# ---- adapters that are refused; made by hand


@pytest.fixture
def adapter(bert: Path, tmp_path: Path) -> Path:
    """A small adapter of one layer."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    settings = {"peft_type": "LORA", "base_model_name_or_path": str(bert), "r": 2}
    change_json(folder / "adapter_config.json", **settings, lora_alpha=4)
    change(folder, lambda t: {f"{QUERY}.lora_A.weight": A, f"{QUERY}.lora_B.weight": B})
    return folder


QUERY = "base_model.model.encoder.layer.0.attention.self.query"
A, B = torch.ones(2, 12), torch.full((12, 2), 0.5)


def change(folder: Path, change: Any) -> None:
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path) if path.exists() else {}), path)


def refuse(message: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught, open_checkpoint(str(folder)) as opened:
        read_bert(opened.folder)
    assert str(folder) in str(caught.value) and "/tmp/tmp" not in str(caught.value)


def test_the_formula(adapter: Path, bert: Path) -> None:
    name = "encoder.layer.0.attention.self.query.weight"
    before = read_tensors(bert)[name].value
    with open_checkpoint(str(adapter)) as (folder, _):
        merged = read_tensors(folder)[name].value
    torch.testing.assert_close(merged, before + 4 / 2 * (B @ A))


@pytest.mark.parametrize("kind", ["LOHA", "IA3", "PROMPT_TUNING", "ADALORA", None, 3])
def test_adapters_of_another_kind(kind: Any, adapter: Path) -> None:
    change_json(adapter / "adapter_config.json", peft_type=kind)
    refuse(rf"\[E390\] .* of the peft_type .?{kind or 'null'}.*merge_and_unload", adapter)


@pytest.mark.parametrize(
    "key, value",
    [
        ("use_dora", True),
        ("lora_bias", True),
        ("use_qalora", True),
        ("layer_replication", [[0, 1]]),
        ("trainable_token_indices", [1, 2]),
        ("target_parameters", ["experts"]),
        ("alora_invocation_tokens", [5]),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "olora"),
        ("loftq_config", {"loftq_bits": 4}),
        ("something_new", 1),
    ],
)
def test_settings_that_change_numbers(key: str, value: Any, adapter: Path) -> None:
    change_json(adapter / "adapter_config.json", **{key: value})
    refuse(rf"\[E391\] In .*adapter_config\.json, {key} is .*, which is not merged", adapter)


@pytest.mark.parametrize(
    "key, value",
    [("r", "2"), ("lora_alpha", None), ("rank_pattern", [1]), ("use_rslora", 1), ("r", 0)],
)
def test_settings_of_another_type(key: str, value: Any, adapter: Path) -> None:
    change_json(adapter / "adapter_config.json", **{key: value})
    refuse(rf"\[E333\] In .*adapter_config\.json, {key} is ", adapter)


@pytest.mark.parametrize("pattern", ["(", "([\\w.]|[\\w.])*!", "(a+)+", "a{9}{9}{9}", "\\w", ".*"])
@pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern"])
def test_patterns_that_are_more_than_names(key: str, pattern: str, adapter: Path) -> None:
    change_json(adapter / "adapter_config.json", **{key: {pattern: 4}})
    refuse(rf"\[E391\] In .*adapter_config\.json, {key} is .*merge_and_unload", adapter)


@pytest.mark.parametrize(
    "pattern", ["^encoder.layer.0.", r"layer\.0\.attention\.self\.query", "query|k"]
)
def test_patterns_of_names(pattern: str, adapter: Path, bert: Path) -> None:
    pattern = pattern if pattern[0] != "^" else pattern + "attention.self.query$"
    change_json(adapter / "adapter_config.json", r=9, rank_pattern={pattern: 2})
    name = "encoder.layer.0.attention.self.query.weight"
    with open_checkpoint(str(adapter)) as (folder, _):
        merged = read_tensors(folder)[name].value
    torch.testing.assert_close(merged, read_tensors(bert)[name].value + 4 / 2 * (B @ A))


@pytest.mark.parametrize("base", ["nothing", "./nothing", None, 7])
def test_a_base_that_is_not_there(
    base: Any, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    change_json(adapter / "adapter_config.json", base_model_name_or_path=base)
    if base == "nothing":
        message = r"\[E370\] .* nothing .*value of base_model_name_or_path in .*json"
        with pytest.raises(ConnectionError, match=message):
            open_checkpoint(str(adapter)).__enter__()
    else:
        refuse(
            r"\[E392\] The model that .*adapter_config\.json names .*(is not there|no name)",
            adapter,
        )


def test_an_adapter_of_an_adapter(adapter: Path, bert: Path) -> None:
    shutil.copy(adapter / "adapter_config.json", bert)
    refuse(r"\[E392\] .* has an adapter too", adapter)


def test_tensors_that_belong_nowhere(adapter: Path) -> None:
    change(adapter, lambda t: t | {"base_model.model.other.weight": torch.ones(1)})
    refuse(r"\[E393\] .* has the tensors other\.weight \(1 in all\)", adapter)
    change(adapter, lambda t: {f"{QUERY}.lora_A.weight": A})
    refuse(r"\[E393\] .* query\.lora_A \(1 in all\)".replace(" query", ".*query"), adapter)


def test_tensors_of_another_shape(adapter: Path) -> None:
    change_json(adapter / "adapter_config.json", r=3)
    refuse(r"\[E394\] .*query\.lora_A has the shape \(2, 12\); expected \(3, 12\)", adapter)
    change_json(adapter / "adapter_config.json", r=2)
    change(adapter, lambda t: t | {f"{QUERY}.lora_A.weight": torch.ones(2, 5)})
    refuse(r"\[E394\] .*query has the shape \(12, 5\); expected \(12, 12\)", adapter)


@pytest.mark.parametrize("lost", ["adapter_config.json", "adapter_model.safetensors"])
def test_half_an_adapter(lost: str, adapter: Path, bert: Path) -> None:
    for path in adapter.iterdir():
        if path.name != lost:
            shutil.copy(path, bert)
    refuse(rf"\[E350\] .* has adapter_\w+\.\w+, but no {lost}", bert)
