"""Settings of the component that change later, and what it says where weights are random."""

import copy
import logging
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.util import load_model_from_config
from thinc.api import Config

from spacy_ctxemb.listeners.listener import guard
from spacy_ctxemb.thinc_model.embedder_shim import find_shims

from ..pipelines import BILM, NER_DATA, blank, examples, initialised, ner_config

LAYER_MIX = {"@architectures": "spacy-ctxemb.LayerMixListener.v1", "width": 16}


def with_ner(listener: dict[str, Any] | None = None, **settings: Any) -> Language:
    nlp = blank(**settings)
    width = nlp.get_pipe("ctxemb").model.get_dim("nO")  # type: ignore[attr-defined]
    tok2vec = listener or {"@architectures": "spacy.Tok2VecListener.v1", "width": width}
    nlp.add_pipe("ner", config=ner_config({**tok2vec, "width": width}))
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


def test_layers_stay_from_the_moment_they_are_to_be_kept() -> None:
    nlp = with_ner(LAYER_MIX)
    assert nlp("two words")._.ctxemb is None  # the listener has read and dropped them
    nlp.get_pipe("ctxemb").keep = "layers"  # type: ignore[attr-defined]
    assert nlp("two words")._.ctxemb.shape[1] == 2


def test_vectors_stay_from_the_moment_they_are_to_be_kept() -> None:
    nlp = with_ner(keep="none")
    assert nlp("two words").tensor.size == 0
    nlp.get_pipe("ctxemb").keep = "tensor"  # type: ignore[attr-defined]
    doc = nlp("two words")
    assert doc.tensor.shape[0] == 2 and doc.has_vector
    nlp.get_pipe("ctxemb").keep = "none"  # type: ignore[attr-defined]
    for _, pipe in nlp.pipeline:
        doc = pipe(doc)
    assert doc.tensor.size == 0
    assert not doc.user_hooks and not doc.user_token_hooks  # these would read the tensor


@pytest.mark.parametrize(
    "setting, value, code",
    [
        ("keep", "all", "E001"),
        ("boundaries", None, "E002"),
        ("keep_pieces", "yes", "E002"),
        ("doc_pooling", "first", "E003"),
        ("normalize", True, "E004"),
        ("keep_attention", True, "E006"),
        ("cache", "memory", "E007"),
    ],
)
def test_a_setting_is_refused_where_it_is_set(setting: str, value: Any, code: str) -> None:
    pipe = blank(BILM).get_pipe("ctxemb")
    before = getattr(pipe, setting)
    with pytest.raises(ValueError, match=rf"\[{code}\]"):
        setattr(pipe, setting, value)
    assert getattr(pipe, setting) == before


@pytest.mark.parametrize("settings", [{"keep": "layers"}, {"boundaries": True}])
def test_no_docs(settings: dict[str, Any]) -> None:
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "batch"}
    pipe = initialised({**BILM, "mix": mix}, **settings).get_pipe("ctxemb")
    assert pipe.predict([]) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("layer_norm", [None, "document"])
def test_the_default_dtype_changes_no_vector_of_blank_text(layer_norm: str | None) -> None:
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": layer_norm}
    nlp = initialised({**BILM, "mix": mix})
    torch.set_default_dtype(torch.float64)
    try:
        doc = nlp("  ")
    finally:
        torch.set_default_dtype(torch.float32)
    assert doc.tensor.dtype == np.float32


def test_a_guard_lets_its_sample_go() -> None:
    (listener,) = with_ner().get_pipe("ctxemb").listeners  # type: ignore[attr-defined]
    assert list(guard(listener).sample) == []
    guard(listener).sample = [object()]  # type: ignore[list-item]
    assert list(guard(listener.copy()).sample) == []
    assert list(guard(copy.deepcopy(listener)).sample) == []


def test_copies_of_a_listener_keep_their_guard() -> None:
    (listener,) = with_ner().get_pipe("ctxemb").listeners  # type: ignore[attr-defined]
    known, twin = guard(listener), guard(listener.copy())
    assert (twin.upstream, twin.component) == (known.upstream, known.component)


@pytest.mark.parametrize("path", ["null", "${paths.init_tok2vec}"])
def test_random_weights_are_told_of(path: str, caplog: pytest.LogCaptureFixture) -> None:
    text = f"[paths]\ninit_tok2vec = null\n\n[initialize]\ninit_tok2vec = {path}\n"
    config = Config().from_str(text, interpolate=False)
    config["nlp"] = {"lang": "en", "pipeline": ["ctxemb"]}
    config["components"] = {"ctxemb": {"factory": "ctxemb", "model": BILM}}
    nlp = load_model_from_config(config, auto_fill=True)
    with caplog.at_level(logging.WARNING, logger="spacy"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))
    assert "[W002] 'ctxemb' begins with random weights" in caplog.text


@pytest.mark.parametrize("settings", [{"pretrained": None, "model": BILM}, {}])
def test_nothing_is_told_where_weights_are_as_asked_for(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("ctxemb", config=settings)
    with caplog.at_level(logging.WARNING, logger="spacy"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))
    assert "W002" not in caplog.text
    assert all(shim.is_materialised for shim in find_shims(pipe.model))
