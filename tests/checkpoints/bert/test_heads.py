"""Heads of published models: what transformers saves, read and run here. Needs that package."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert, write_bert
from spacy_ctxemb.checkpoints.bert.read_head import PublishedHead, read_head
from spacy_ctxemb.encoders import Encoder
from spacy_ctxemb.heads.head_layers import Head

from ...bert_models import FAMILIES, change_json, change_tensors, find_tokens, load
from ...heads.published import KINDS, LABELS, NAMES, save
from ...tiny import pad

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

#: Padding comes last, in windows of several lengths.
IDS = [torch.tensor(ids) for ids in ([5, 20, 30, 40, 50, 6], [5, 6], [5, 33, 6, 44])]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """transformers warns of its own future."""
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_both(folder: Path, task: str | None = None) -> tuple[Encoder, PublishedHead]:
    published = read_head(folder, task=task)
    assert published is not None
    return load(read_bert(folder, with_pooling=False)), published


def compute(encoder: Encoder, published: PublishedHead) -> list[Tensor]:
    """The scores of each window: (T, C), or (C,) of a text."""
    head = Head(**published.settings).eval()
    head.load_state_dict(published.tensors)
    with torch.inference_mode():
        states = encoder(*pad(IDS))[-1].split([len(ids) for ids in IDS])
        reduce = {"pieces": lambda x: x, "first": lambda x: x[0], "mean": lambda x: x.mean(dim=0)}
        return [head(reduce[published.reads](x)) for x in states]


def compute_theirs(model: Any) -> list[Tensor]:
    ids, mask = pad(IDS)
    padding = model.config.pad_token_id
    with torch.inference_mode():
        output = model(ids.long().masked_fill(~mask, padding), attention_mask=mask.long())
    if "start_logits" in output:
        scores = torch.stack([output.start_logits, output.end_logits], dim=-1)
    else:
        scores = output.logits
    return [x if x.dim() == 1 else x[: len(ids)] for x, ids in zip(scores, IDS, strict=True)]


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_transformers(name: str, task: str, tmp_path: Path) -> None:
    model = save(name, task, tmp_path / "model")
    encoder, published = read_both(tmp_path / "model")
    assert published.task == task
    assert published.architecture == type(model).__name__
    assert published.labels == (LABELS if task in ("token", "text") else [])
    assert published.kind == "single_label"
    assert published.reads == ("first" if task == "text" else "pieces")
    for found, expected in zip(compute(encoder, published), compute_theirs(model), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


SETTINGS = pytest.mark.parametrize(
    "name, task, settings",
    [
        ("modernbert", "text", {"classifier_pooling": "mean", "classifier_activation": "silu"}),
        ("modernbert", "token", {"classifier_bias": True}),
        ("modernbert", "masked", {"decoder_bias": False, "classifier_activation": "relu"}),
        ("modernbert", "masked", {"tie_word_embeddings": False}),
        ("bert", "masked", {"hidden_act": "relu"}),
        ("bert", "masked", {"tie_word_embeddings": False}),
        ("roberta", "masked", {"hidden_act": "relu", "tie_word_embeddings": False}),
        ("electra", "masked", {"hidden_act": "relu"}),
        ("albert", "masked", {"hidden_act": "gelu"}),
        ("distilbert", "masked", {"activation": "relu"}),
        ("electra", "text", {"hidden_act": "relu"}),
    ],
    ids=str,
)


@SETTINGS
def test_settings_that_change_a_head(
    name: str, task: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    model = save(name, task, tmp_path / "model", **settings)
    encoder, published = read_both(tmp_path / "model")
    for found, expected in zip(compute(encoder, published), compute_theirs(model), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def write(folder: Path, out: Path) -> Any:
    """What transformers loads of the encoder and the head of a model, written again."""
    model, published = read_bert(folder), read_head(folder)
    assert published is not None
    write_bert(load(model), find_tokens(model), out, head=published)
    kind = getattr(transformers, KINDS[published.task])
    return kind.from_pretrained(out, local_files_only=True).eval()


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_transformers_loads_heads_that_are_written(name: str, task: str, tmp_path: Path) -> None:
    model = save(name, task, tmp_path / "model")
    written = write(tmp_path / "model", tmp_path / "out")
    if task in ("token", "text"):
        assert written.config.id2label == dict(enumerate(LABELS))
        assert written.config.label2id == {label: i for i, label in enumerate(LABELS)}
    for found, expected in zip(compute_theirs(written), compute_theirs(model), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    first, again = read_head(tmp_path / "model"), read_head(tmp_path / "out")
    assert first is not None and again is not None
    assert first[3:6] == again[3:6]
    assert {**first.settings} == {**again.settings}


@SETTINGS
def test_heads_with_other_settings_are_written(
    name: str, task: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    if name == "roberta":
        pytest.skip("BERT's own head has the activation of the encoder")
    model = save(name, task, tmp_path / "model", **settings)
    written = write(tmp_path / "model", tmp_path / "out")
    for found, expected in zip(compute_theirs(written), compute_theirs(model), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_head_that_no_family_has(tmp_path: Path) -> None:
    save("bert", "text", tmp_path / "model")
    model, published = read_bert(tmp_path / "model"), read_head(tmp_path / "model")
    assert published is not None
    other = published._replace(settings=published.settings | {"activation": "silu"})
    with pytest.raises(ValueError, match=r"\[E348\] .*as bert, activation of the head is silu"):
        write_bert(load(model), find_tokens(model), tmp_path / "out", head=other)
    other = published._replace(reads="mean")
    with pytest.raises(ValueError, match=r"\[E348\] .*as bert, the head reads the mean"):
        write_bert(load(model), find_tokens(model), tmp_path / "out", head=other)


@pytest.mark.parametrize(
    "changes, kind",
    [
        ({"problem_type": "multi_label_classification"}, "multi_label"),
        ({"problem_type": "single_label_classification"}, "single_label"),
        ({"problem_type": "regression"}, "regression"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, None),
    ],
    ids=str,
)
def test_what_scores_of_several_labels_become(
    changes: dict[str, Any], kind: str | None, tmp_path: Path
) -> None:
    save("bert", "text", tmp_path / "model", **changes)
    assert read_both(tmp_path / "model")[1].kind == (kind or "single_label")


IDENTITY, SIGMOID = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"


@pytest.mark.parametrize(
    "changes, kind",
    [
        ({}, "multi_label"),  # transformers' pipeline and sentence-transformers take the sigmoid
        ({"problem_type": "regression"}, "regression"),
        ({"sentence_transformers": {"activation_fn": SIGMOID}}, "multi_label"),
        ({"sentence_transformers": {"activation_fn": IDENTITY}}, "regression"),
        ({"sbert_ce_default_activation_function": IDENTITY}, "regression"),
    ],
    ids=str,
)
def test_what_the_score_of_one_label_becomes(
    changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    save("bert", "text", tmp_path / "model", id2label={0: "LABEL_0"}, **changes)
    published = read_both(tmp_path / "model")[1]
    assert (published.kind, published.labels) == (kind, ["LABEL_0"])


@pytest.mark.parametrize("function, kind", [(IDENTITY, "regression"), (SIGMOID, "multi_label")])
def test_a_cross_encoder_as_it_is_saved_today(function: str, kind: str, tmp_path: Path) -> None:
    save("bert", "text", tmp_path / "model", id2label={0: "LABEL_0"})
    module = {"idx": 0, "name": "0", "path": ""}
    module["type"] = "sentence_transformers.base.modules.transformer.Transformer"
    (tmp_path / "model" / "modules.json").write_text(json.dumps([module]))
    settings = {"transformer_task": "sequence-classification", "module_output_name": "scores"}
    change_json(tmp_path / "model" / "sentence_bert_config.json", **settings)
    path = tmp_path / "model" / "config_sentence_transformers.json"
    change_json(path, activation_fn=function, model_type="CrossEncoder", prompts={})
    assert read_both(tmp_path / "model")[1].kind == kind


def test_labels_without_names(tmp_path: Path) -> None:
    save("bert", "token", tmp_path / "model", id2label=None)
    change_json(tmp_path / "model" / "config.json", id2label=...)
    assert read_both(tmp_path / "model")[1].labels == ["LABEL_0", "LABEL_1"]


def test_an_encoder_has_no_head(tmp_path: Path) -> None:
    assert read_head(FAMILIES / "mpnet") is None
    assert read_head(FAMILIES / "electra") is None  # its discriminator is none
    save("bert", "masked", tmp_path / "model")
    change_tensors(
        tmp_path / "model", lambda x: {n: v for n, v in x.items() if not n.startswith("cls.")}
    )
    assert read_head(tmp_path / "model") is None


def test_the_task_where_config_json_does_not_say_it(tmp_path: Path) -> None:
    model = save("bert", "question", tmp_path / "model")
    change_json(tmp_path / "model" / "config.json", architectures=...)
    encoder, published = read_both(tmp_path / "model")
    assert published.task == "question"
    torch.testing.assert_close(compute(encoder, published), compute_theirs(model))
    save("bert", "text", tmp_path / "text")
    change_json(tmp_path / "text" / "config.json", architectures=...)
    with pytest.raises(ValueError, match=r"\[E381\] .*tasks \['token', 'text'\]"):
        read_head(tmp_path / "text")
    assert read_both(tmp_path / "text", "text")[1].task == "text"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"architectures": ["BertForMultipleChoice"]}, "E380.*BertForMultipleChoice; known are"),
        ({"architectures": "Bert"}, r"E333.*architectures is \"Bert\""),
        ({"id2label": {"0": "O", "1": "B"}}, "E382.*the number of labels is 2; expected 3"),
        ({"id2label": {"0": "O", "1": "B", "2": "B"}}, "E382.*id2label is .*names that differ"),
        ({"id2label": {"1": "O", "2": "B", "3": "I"}}, "E382.*from 0 without gaps"),
        ({"id2label": {}}, "E382.*id2label is {}"),
        ({"id2label": {"0": 0}}, r"E333.*id2label is .*; expected an object of names"),
        ({"num_labels": 5}, "E382.*num_labels is 5; expected 3, as in id2label"),
        ({"problem_type": "ranking"}, 'E333.*problem_type is "ranking"'),
        ({"id2label": ...}, "E382.*the number of labels is 2; expected 3, as in the weights"),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.Tanh"}},
            r"E382.*activation_fn is \"torch.nn.Tanh\"; expected Sigmoid or Identity",
        ),
    ],
    ids=str,
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    save("bert", "text", tmp_path / "model")
    change_json(tmp_path / "model" / "config.json", **changes)
    with pytest.raises(ValueError, match=message):
        read_head(tmp_path / "model")


def test_a_softmax_of_one_label(tmp_path: Path) -> None:
    save("bert", "text", tmp_path / "model", id2label={0: "yes"})
    path = tmp_path / "model" / "config.json"
    change_json(path, problem_type="single_label_classification")
    with pytest.raises(ValueError, match=r"\[E382\].*problem_type is .*for a single label"):
        read_head(tmp_path / "model")


def drop(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {n: value for n, value in tensors.items() if n != name}


def spoil(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    tensors[name][0] = torch.nan
    return tensors


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: drop(x, "classifier.weight"), "E335.*classifier.weight"),
        (lambda x: drop(x, "bert.pooler.dense.bias"), "E335.*pooler.dense.bias"),
        (lambda x: spoil(x, "classifier.bias"), "E309.*classifier.bias has 1 values"),
        (
            lambda x: x | {"classifier.weight": torch.zeros(3, 5)},
            r"E307.*classifier.weight is float32 of shape \(3, 5\); .* \(3, 12\)",
        ),
        (
            lambda x: x | {"classifier.bias": torch.zeros(3, dtype=torch.int64)},
            "E307.*classifier.bias is int64",
        ),
    ],
)
def test_damaged_heads(change: Any, message: str, tmp_path: Path) -> None:
    save("bert", "text", tmp_path / "model")
    change_tensors(tmp_path / "model", change)
    with pytest.raises(ValueError, match=message):
        read_head(tmp_path / "model")


def test_a_task_that_is_unknown(tmp_path: Path) -> None:
    save("bert", "text", tmp_path / "model")
    with pytest.raises(ValueError, match=r"\[E380\] .* the head ranking; known are"):
        read_head(tmp_path / "model", task="ranking")
    with pytest.raises(ValueError, match=r"\[E335\] .*qa_outputs.weight"):
        read_head(tmp_path / "model", task="question")
