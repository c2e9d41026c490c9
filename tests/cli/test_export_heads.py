"""`python -m spacy ctxemb export bert` and `export onnx` of pipelines with heads."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

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
    code, output = run("export", "bert", tmp_path / "two", tmp_path / "o")
    assert code == 1 and "[E363]" in output
    run_well("export", "bert", tmp_path / "two", tmp_path / "o", "--head", "ctxemb_qa")


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
