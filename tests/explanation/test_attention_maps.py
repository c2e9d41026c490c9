"""Attention weights are those of transformers, and layers have their shares."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spacy_ctxemb.explanation import explain

from ..heads.published import build_pipeline, save
from ..pipelines import BILM, TRANSFORMER, blank, initialised, listener, ner_config
from .pipelines import DATA, TEXT, build_heads, build_own, train


@pytest.mark.parametrize("name", ["bert", "distilbert", "modernbert", "roberta"])
def test_weights_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model = save(name, "text", tmp_path)
    model.set_attn_implementation("eager")
    nlp = build_pipeline(tmp_path)
    text = "She sat on the river bank"
    (found,) = explain(nlp, text, attention=True).attention
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path)(text, return_tensors="pt").input_ids
    with torch.no_grad():
        theirs = model(ids, output_attentions=True).attentions
    assert_allclose(found.weights, np.stack([one[0] for one in theirs]), atol=1e-5)
    assert len(found.pieces) == found.weights.shape[-1] == ids.shape[1]
    assert found.encoder == "ctxemb" and (found.pieces[0], found.pieces[-1]) == ("‹", "›")


def test_a_map_for_each_window() -> None:
    maps = explain(build_heads("transformer"), TEXT, component="ctxemb_textcat").attention
    assert [one.weights.shape[:2] for one in maps] == [(2, 2), (2, 2)]  # of two sentences
    for one in maps:
        assert_allclose(one.weights.sum(axis=-1), 1.0, atol=1e-5)


def test_long_texts_get_maps_where_they_are_asked_for() -> None:
    nlp = initialised(TRANSFORMER)
    text = "word " * 200
    assert not explain(nlp, text).attention
    assert not explain(nlp, "word", attention=False).attention
    assert len(explain(nlp, text, attention=True).attention) > 5


def test_no_encoder_with_attention() -> None:
    with pytest.raises(ValueError, match=r"\[E740\] None of the encoders \['ctxemb'\]"):
        explain(initialised(BILM), TEXT, attention=True)
    with pytest.raises(ValueError, match=r"\[E740\] None of the encoders \[\]"):
        explain(build_own(), TEXT, attention=True)


def test_shares_of_layers() -> None:
    layers = explain(build_heads("bilm"), TEXT, component="ctxemb_textcat").layers
    assert list(layers) == ["ctxemb"]
    assert sum(layers["ctxemb"].shares) == pytest.approx(1.0)


def test_shares_of_listeners() -> None:
    nlp = blank(BILM)
    config = {**listener(), "@architectures": "spacy-ctxemb.LayerMixListener.v1"}
    nlp.add_pipe("ner", config=ner_config(config))
    train(nlp, DATA, 0)
    assert list(explain(nlp, TEXT).layers) == ["ctxemb", "ner"]
