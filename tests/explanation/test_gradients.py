"""Integrated gradients add up to what they explain, whatever the encoder and the head."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from numpy.testing import assert_allclose

from spacy_ctxemb.explanation import explain
from spacy_ctxemb.explanation.attribution import Attribution
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..heads.published import build_pipeline, save
from ..pipelines import BILM
from .pipelines import DATA, MODELS, TEXT, build_heads, build_own, train


def check_complete(one: Attribution) -> None:
    """The words add up to the score minus that of the text with all of them hidden."""
    assert one.baseline is not None and one.error is not None
    whole = one.score - one.baseline
    assert abs(one.values.sum() + one.elsewhere - whole) <= 0.01 * max(abs(whole), 0.05)
    assert_allclose(one.error, one.values.sum() + one.elsewhere - whole, atol=1e-6)


@pytest.mark.parametrize(
    "name, kind", [*((name, "single_label") for name in MODELS), ("transformer", "multi_label")]
)
def test_words_add_up_to_the_score(name: str, kind: str) -> None:
    nlp = build_heads(name, kind)
    found = explain(nlp, TEXT, method="gradients").attributions
    doc = nlp(TEXT)
    assert [one.component for one in found[1:]] == ["ctxemb_ner"] * len(doc.ents)
    assert found[0].label == max(doc.cats, key=doc.cats.__getitem__)
    assert found[0].score == pytest.approx(doc.cats[found[0].label], abs=1e-5)
    for one in found:
        check_complete(one)
        assert one.elsewhere == 0  # each piece is of a token
        assert one.values.shape == (len(doc),) and np.abs(one.values).max() > 0


def test_the_score_of_a_regression_is_its_number() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"model": BILM, "pretrained": None})
    nlp.add_pipe("ctxemb_textcat", config={"kind": "regression"})
    train(nlp, [(text, {"cats": {"n": 3.0 * i}}) for i, (text, _) in enumerate(DATA)], 10)
    for method in ("gradients", "occlusion"):
        (one,) = explain(nlp, TEXT, method=method).attributions
        assert one.score == pytest.approx(nlp(TEXT)._.ctxemb_score, rel=1e-5)
    check_complete(explain(nlp, TEXT, method="gradients").attributions[0])


@pytest.mark.parametrize("name", ["bert", "modernbert", "distilbert", "mpnet", "albert"])
@pytest.mark.parametrize("task", ["text", "token"])
def test_published_heads(name: str, task: str, tmp_path: Path) -> None:
    """Also of texts that are longer than a window, whose windows overlap."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    save(name, task, tmp_path)
    nlp = build_pipeline(tmp_path)
    text = " ".join(["the river bank was muddy and she sat there"] * 12)
    asked: dict[str, Any] = {"span": (3, 5), "label": "PER"} if task == "token" else {}
    (one,) = explain(nlp, text, method="gradients", **asked).attributions
    check_complete(one)
    occluded = explain(nlp, text[:60], hide="the", **asked).attributions[0]
    again = explain(nlp, text[:60], method="gradients", **asked).attributions[0]
    assert again.score == pytest.approx(occluded.score, abs=1e-5)


def test_the_baseline_is_the_text_with_its_pieces_hidden() -> None:
    nlp = build_heads("transformer")
    (one,) = explain(nlp, "in Oslo", method="gradients", label="nature").attributions
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    table = shim.embedder.encoder.get_submodule("piece_embedding").weight
    kept = table.detach().clone()
    with torch.no_grad():
        table[:] = kept[shim.pieces.special.mask]
        for boundary in shim.pieces.boundaries:
            table[int(boundary)] = kept[int(boundary)]
        hidden = nlp("in Oslo").cats["nature"]
        table[:] = kept
    assert one.baseline == pytest.approx(hidden, abs=1e-5)


def test_a_head_with_an_encoder_of_its_own(tmp_path: Path) -> None:
    build_heads("transformer").to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    nlp.replace_listeners("ctxemb", "ctxemb_textcat", ["model.tok2vec"])
    (one,) = explain(nlp, TEXT, component="ctxemb_textcat", method="gradients").attributions
    check_complete(one)
    shared = explain(build_heads("transformer"), TEXT, component="ctxemb_textcat")
    assert one.score == pytest.approx(shared.attributions[0].score, abs=1e-5)


def test_nothing_is_changed(tmp_path: Path) -> None:
    nlp = build_heads("bilm")
    before = nlp.to_bytes()
    doc = nlp(TEXT)
    vectors = doc.tensor.copy()
    with torch.inference_mode():
        explain(nlp, doc, method="gradients")
    assert nlp.to_bytes() == before
    assert_allclose(doc.tensor, vectors)
    parameters = get_shim(nlp.get_pipe("ctxemb").model).embedder.parameters()
    assert all(parameter.grad is None for parameter in parameters)


def test_components_of_spacy_need_occlusion() -> None:
    message = r"\[E734\].*'textcat' is a TextCategorizer\. Use method 'occlusion'"
    with pytest.raises(ValueError, match=message):
        explain(build_own(), TEXT, component="textcat", method="gradients")


def test_without_captum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r"\[E736\].*pip install 'spacy-ctxemb\[explain\]'"):
        explain(build_heads("bilm"), TEXT, method="gradients")


def test_a_text_that_is_too_long() -> None:
    nlp = build_heads("bilm")
    most = get_shim(nlp.get_pipe("ctxemb").model).windowing.batch_pieces
    text = "word " * (most + 1)
    message = rf"\[E737\] The text fills \d+ steps of windows, and gradients are kept for {most}"
    with pytest.raises(ValueError, match=message):
        explain(nlp, text, method="gradients", component="ctxemb_textcat")


def test_an_encoder_with_a_state() -> None:
    nlp = spacy.blank("en")
    model = {**BILM, "encoder": {**BILM["encoder"], "stateful": True}}
    nlp.add_pipe("ctxemb", config={"model": model, "pretrained": None})
    nlp.add_pipe("ctxemb_textcat")
    train(nlp, DATA, 1)
    with pytest.raises(ValueError, match=r"\[E748\] The encoder of 'ctxemb' is stateful"):
        explain(nlp, TEXT, method="gradients")
