"""What is written as ONNX, run by onnxruntime. Needs the packages of the extra `onnx`."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert
from spacy_ctxemb.checkpoints.bert.read_head import read_head
from spacy_ctxemb.onnx.write_onnx import write_onnx

from ..bert_models import FAMILIES, load, read
from ..heads.published import LABELS, save
from ..tiny import build_bilm

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "mpnet", "modernbert", "albert", "roberta"])
def test_any_batch_and_length(name: str, tmp_path: Path) -> None:
    model = read(name)
    encoder = load(model)
    found = write_onnx(encoder, model.tokenizer, tmp_path / "out")
    assert found.floats < 1e-4 < found.bytes < found.largest
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    for B, T in ((1, 2), (4, 17), (2, 60)):
        ids = torch.randint(model.settings["vocab_size"], (B, T))
        mask = torch.arange(T) < torch.randint(1, T + 1, (B, 1))
        segments = torch.zeros_like(ids)
        inputs = {"input_ids": ids, "attention_mask": mask.long(), "token_type_ids": segments}
        names = [one.name for one in session.get_inputs()]
        (states,) = session.run(None, {name: inputs[name].numpy() for name in names})
        with torch.inference_mode():
            expected = encoder(ids, mask)[-1]
        np.testing.assert_allclose(states[mask.numpy()], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "task",
    [
        "question",
        *(pytest.param(t, marks=pytest.mark.slow) for t in ("token", "text", "masked", None)),
    ],
)
def test_the_example_runs_without_pytorch_and_spacy(task: str | None, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    folder = FAMILIES / "bert"
    if task is not None:
        folder = tmp_path / "model"
        save("bert", task, folder)
    model, head = read_bert(folder), read_head(folder)
    write_onnx(load(model), model.tokenizer, tmp_path / "out", head=head)
    script = tmp_path / "out" / "example.py"
    assert len(script.read_text().splitlines()) <= 18
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = sys.modules['spacy'] = None\n"
        f"sys.argv = [{str(script)!r}, 'Who was there?', 'Nobody was at the bank.']\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if task == "token":
        assert any(label in done.stdout for label in LABELS)
    if task == "question":
        assert done.stdout.strip() in "Nobody was at the bank."
    assert done.stdout.strip()
    stored = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert stored == (LABELS if task in ("token", "text") else [])


@pytest.mark.parametrize(
    "kind",
    [
        "single_label",
        *(pytest.param(k, marks=pytest.mark.slow) for k in ("multi_label", "regression")),
    ],
)
def test_scores_of_a_text_of_any_length(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    save("bert", "text", tmp_path / "model")
    model, head = read_bert(tmp_path / "model"), read_head(tmp_path / "model")
    assert head is not None
    encoder, out = load(model), tmp_path / "out"
    write_onnx(encoder, model.tokenizer, out, head=head._replace(kind=kind))
    text = "Nobody was at the bank. " * 100
    script = out / "example.py"
    assert len(script.read_text().splitlines()) <= 18
    done = subprocess.run(
        [sys.executable, script, text, "At the bank."], capture_output=True, text=True, check=True
    )
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    ids = Tokenizer.from_str(model.tokenizer).encode(text).ids
    ids = [*ids[: encoder.max_length - 1], ids[-1]]
    given = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": [0] * len(ids)}
    (logits,) = session.run(None, {name: np.array([row]) for name, row in given.items()})
    x = torch.tensor(logits[0])
    expected = {"single_label": x.softmax(0), "multi_label": x.sigmoid(), "regression": x}[kind]
    scores = ast.literal_eval(done.stdout.splitlines()[0].removeprefix(text))
    assert list(scores) == LABELS
    np.testing.assert_allclose(list(scores.values()), expected, rtol=1e-4, atol=1e-5)


def test_encoders_that_are_no_transformer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[E541\] The encoder is a BiLM"):
        write_onnx(build_bilm(), "{}", tmp_path / "out")


def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"\[E540\] export onnx needs onnxscript"):
        write_onnx(load(read("bert")), "{}", tmp_path / "out")
