"""`python -m spacy ctxemb export bert` and `export onnx` of pipelines with heads."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert
from spacy_ctxemb.checkpoints.bert.read_head import read_head
from spacy_ctxemb.cli.what_to_export import choose_exported
from spacy_ctxemb.heads.add_head import add_head
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..heads.published import LABELS, build_pipeline, save
from .command import run, run_well

transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """transformers warns of its own future."""
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    "name, task, kind",
    [
        ("bert", "question", "QuestionAnswering"),
        ("bert", "masked", "MaskedLM"),
        ("bert", "token", "TokenClassification"),
        ("bert", "text", "SequenceClassification"),
        ("modernbert", "text", "SequenceClassification"),
        ("electra", "text", "SequenceClassification"),
        ("distilbert", "text", "SequenceClassification"),
    ],
)
def test_the_head_of_a_pipeline(name: str, task: str, kind: str, tmp_path: Path) -> None:
    changes = {"problem_type": "multi_label_classification"} if task == "text" else {}
    model = save(name, task, tmp_path / "model", **changes)
    build_pipeline(tmp_path / "model").to_disk(tmp_path / "pipeline")
    output = run_well("export", "bert", tmp_path / "pipeline", tmp_path / "out")
    assert f"a model of the type {type(model).__name__}" in output
    written = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(tmp_path / "out").eval()
    ids = torch.tensor([[2, 9, 4, 30, 7, 3]])
    with torch.inference_mode():
        found, expected = written(input_ids=ids)[0], model(input_ids=ids)[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    if task in ("token", "text"):
        assert written.config.id2label == dict(enumerate(LABELS))
    assert written.config.problem_type == changes.get("problem_type")


def test_which_head_is_written(tmp_path: Path) -> None:
    save("bert", "question", tmp_path / "model")
    nlp = build_pipeline(tmp_path / "model")
    nlp.to_disk(tmp_path / "pipeline")
    run_well("export", "bert", tmp_path / "pipeline", tmp_path / "encoder", "--head", "none")
    config = json.loads((tmp_path / "encoder" / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]
    code, output = run("export", "bert", tmp_path / "pipeline", tmp_path / "o", "--head", "ner")
    assert code == 1 and "[E363]" in output and "['ctxemb_qa'], and --head is ner" in output
    nlp.add_pipe("ctxemb_fill_mask")
    nlp.to_disk(tmp_path / "two")
    code, output = run(*"export bert".split(), tmp_path / "two", tmp_path / "o", "--head", MASK)
    assert code == 1 and f"[E386] '{MASK}' has no head" in output and not (tmp_path / "o").exists()
    run_well("export", "bert", tmp_path / "two", tmp_path / "o")  # the only one with weights
    published = read_head(tmp_path / "o")
    assert published is not None and published.task == "question"


MASK = "ctxemb_fill_mask"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A pipeline with two encoders, and a head of entities and of texts on each.

    The second is the same but for a table. The first head of entities has its own copy, as
    replace_listeners makes it, which then learned more.
    """
    folder = tmp_path_factory.mktemp("two")
    heads = []
    for task in ("token", "text"):
        save("bert", task, folder / task)
        heads.append(read_head(folder / task))
    nlp = build_pipeline(folder / "token")
    section = nlp.get_pipe_config("ctxemb")
    del section["factory"]
    nlp.replace_listeners("ctxemb", "ctxemb_ner", ["model.tok2vec"])
    nlp.add_pipe("ctxemb", name="second", config=section)
    model = read_bert(folder / "text")
    shim = get_shim(nlp.get_pipe("second").model)
    shim.load_encoder(model.tensors)
    shim.pieces.load(model.tokenizer)
    own = get_shim(nlp.get_pipe("ctxemb_ner").model.layers[0])
    for one, value in ((shim, 0.5), (own, 0.25)):
        table = one.embedder.encoder.piece_embedding.weight
        table.data[5:] = value
    add_head(nlp, heads[1], upstream="second")
    add_head(nlp, heads[0], name="other", upstream="second")
    return nlp


def value_of(nlp: Any, component: str | None, head: str | None) -> float:
    shim, published = choose_exported(nlp, component, head)
    assert (published is None) == (head == "none")
    return round(float(shim.embedder.encoder.piece_embedding.weight[6, 0]), 3)


def test_the_encoder_is_that_of_the_head(two: Any) -> None:
    assert value_of(two, None, "ctxemb_ner") == value_of(two, "ctxemb_ner", None) == 0.25
    assert value_of(two, None, "other") == value_of(two, "second", "ctxemb_textcat") == 0.5
    assert value_of(two, "second", "none") == 0.5
    assert value_of(two, "ctxemb", "none") not in (0.25, 0.5)
    message = (
        r"\[E397\] The head of 'ctxemb_ner' reads the encoder of 'ctxemb_ner', and .* is ctxemb"
    )
    for head in ("ctxemb_ner", None):
        with pytest.raises(ValueError, match=message):
            choose_exported(two, "ctxemb", head)
    for component in (None, "second"):
        with pytest.raises(ValueError, match=r"\[E363\] .*'ctxemb_textcat', 'other'"):
            choose_exported(two, component, None)
    with pytest.raises(ValueError, match=r"\[E361\]"):
        choose_exported(two, None, "none")


def test_the_encoder_that_is_asked(tmp_path: Path) -> None:
    save("bert", "question", tmp_path / "model")
    nlp = build_pipeline(tmp_path / "model")
    nlp.add_pipe("ctxemb", name="second", first=True)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    assert choose_exported(nlp, None, None).shim is shim
    with pytest.raises(ValueError, match=r"\[E397\] The head of 'ctxemb_qa' reads .* 'ctxemb'"):
        choose_exported(nlp, "second", "ctxemb_qa")


@pytest.mark.slow
def test_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    save("bert", "question", tmp_path / "model")
    build_pipeline(tmp_path / "model").to_disk(tmp_path / "pipeline")
    output = run_well("export", "onnx", tmp_path / "pipeline", tmp_path / "out")
    assert "Largest differences from PyTorch" in output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    files = {"model.onnx", "model_int8.onnx", "tokenizer.json", "labels.json", "example.py"}
    assert names == files
