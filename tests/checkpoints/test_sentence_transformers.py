"""Directories of sentence-transformers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert

from ..bert_models import change_json, copy_family, make_sentences


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_family("bert", tmp_path / "model")


def refuse(message: str, path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_bert(path)


@pytest.mark.parametrize(
    "kinds",
    [
        ["Transformer"],
        [],
        ["Transformer", "Pooling", "Dense", "Normalize"],
        ["Transformer", "Normalize", "Pooling"],
        ["Transformer", "Pooling", "Normalize", "Normalize"],
    ],
    ids=str,
)
def test_modules_that_cannot_be_imported(kinds: list[str], folder: Path) -> None:
    path = make_sentences(folder, *kinds)
    found = re.escape(str(kinds))
    refuse(rf"\[E347\] .*modules\.json has the modules {found}; only a Transformer, then", path)


def test_modules_that_are_none(folder: Path) -> None:
    path = make_sentences(folder, "Transformer", "Pooling")
    (path / "modules.json").write_text("{}")
    refuse(r"\[E331\] .*modules\.json cannot be used: it holds \{\}", path)
    (path / "modules.json").write_text("[")
    refuse(r"\[E331\] .*modules\.json cannot be used: Expecting value", path)


@pytest.mark.parametrize(
    "pooling, found",
    [
        ({"pooling_mode_weightedmean_tokens": True}, "['weightedmean']"),
        ({"pooling_mode_lasttoken": True}, "['lasttoken']"),
        ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, "['cls', 'max']"),
        ({"pooling_mode": "lasttoken"}, "['lasttoken']"),
        ({"pooling_mode": ["mean", "max"]}, "['mean', 'max']"),
    ],
)
def test_a_pooling_that_cannot_be_imported(
    pooling: dict[str, Any], found: str, folder: Path
) -> None:
    path = make_sentences(folder, "Transformer", "Pooling", **pooling)
    known = re.escape("['cls', 'mean', 'max']")
    refuse(
        rf"\[E346\] In .*config\.json the pooling is {re.escape(found)}; one of {known} can", path
    )


@pytest.mark.parametrize(
    "pooling, expected",
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["max"]}, "max"),
        ({}, "mean"),
    ],
)
@pytest.mark.parametrize("kinds", [(), ("Normalize",)])
def test_directories_of_sentence_transformers(
    kinds: tuple[str, ...], pooling: dict[str, Any], expected: str, folder: Path
) -> None:
    path = make_sentences(folder, "Transformer", "Pooling", *kinds, **pooling)
    settings = {"do_lower_case": True, "max_seq_length": 64}
    change_json(path / "0_Transformer" / "sentence_bert_config.json", **settings)
    prompts = {"prompts": {"q": "query: "}, "default_prompt_name": "q"}
    change_json(path / "config_sentence_transformers.json", **prompts)
    sentences = read_bert(path).sentences
    assert sentences.doc_pooling == expected and sentences.normalize == bool(kinds)
    assert (sentences.max_pieces, sentences.prompt) == (64, "query: ")


@pytest.mark.parametrize(
    "family", ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"]
)
def test_settings_that_are_named_after_a_family(family: str, folder: Path) -> None:
    path = make_sentences(folder, "Transformer", "Pooling")
    settings = path / "0_Transformer" / f"sentence_{family}_config.json"
    change_json(settings, do_lower_case=True, max_seq_length=64)
    sentences = read_bert(path).sentences
    assert (sentences.lowercase, sentences.max_pieces) == (True, 64)
    (settings.parent / "sentence_bert_config.json").write_text("{}")
    assert read_bert(path).sentences.max_pieces == 64
    change_json(settings.parent / "sentence_bert_config.json", max_seq_length=32)
    assert read_bert(path).sentences == sentences._replace(lowercase=False, max_pieces=32)


def test_sentence_transformers_fold_case_first(folder: Path) -> None:
    change_json(folder / "tokenizer_config.json", do_lower_case=False)
    path = make_sentences(folder, "Transformer", "Pooling")
    before = read_bert(path).tokenizer
    change_json(path / "0_Transformer" / "sentence_bert_config.json", do_lower_case=True)
    after = read_bert(path).tokenizer
    assert json.loads(before)["normalizer"]["type"] == "BertNormalizer"
    assert json.loads(after)["normalizer"]["normalizers"][0]["type"] == "Lowercase"


def test_a_cross_encoder_has_no_vectors_of_texts(folder: Path) -> None:
    """As sentence-transformers 6 saves one."""
    path = make_sentences(folder, "Transformer")
    change_json(
        path / "0_Transformer" / "sentence_bert_config.json",
        transformer_task="sequence-classification",
        modality_config={"text": {"method": "forward", "method_output_name": "logits"}},
        module_output_name="scores",
    )
    assert read_bert(path).sentences.doc_pooling is None


@pytest.mark.parametrize(
    "key, value",
    [
        ("model_args", {"torch_dtype": "bfloat16"}),
        ("tokenizer_args", {"do_lower_case": False}),
        ("processor_kwargs", {"padding_side": "left"}),
        ("processing_kwargs", {"text": {"max_length": 8}}),
        ("query_expansion", {"strategy": "mask", "length": 32}),
        ("module_output_name", "pooled"),
        ("modality_config", {"text": {"method_output_name": "pooler_output"}}),
        ("transformer_task", "fill-mask"),
    ],
)
def test_settings_that_change_vectors(key: str, value: Any, folder: Path) -> None:
    path = make_sentences(folder, "Transformer", "Pooling")
    change_json(path / "0_Transformer" / "sentence_bert_config.json", **{key: value})
    refuse(rf"\[E333\] In .*sentence_bert_config\.json, {key}", path)


def test_a_prompt_that_is_left_out_of_vectors(folder: Path) -> None:
    path = make_sentences(folder, "Transformer", "Pooling", include_prompt=False)
    assert read_bert(path).sentences.doc_pooling == "mean"
    prompts = {"prompts": {"q": "query: "}, "default_prompt_name": "q"}
    change_json(path / "config_sentence_transformers.json", **prompts)
    refuse(r"\[E333\] .*include_prompt is false; expected true, since a prompt is part", path)
