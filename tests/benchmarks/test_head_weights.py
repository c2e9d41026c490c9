"""A head is the same after it was carried to another pipeline."""

from pathlib import Path

import numpy as np
import pytest
from spacy.language import Language

from ..pipelines import BILM, TRANSFORMER, with_ner
from .head_weights import build_load_head, build_save_head, list_parameters


def read_head(nlp: Language) -> list[np.ndarray]:
    return [model.get_param(name).copy() for model, name in list_parameters(nlp, "ner")]


def test_a_head_goes_to_a_pipeline_with_another_encoder(tmp_path: Path) -> None:
    path = str(tmp_path / "head.npz")
    first, second = with_ner(BILM), with_ner(TRANSFORMER)
    for model, name in list_parameters(first, "ner"):
        model.set_param(name, model.get_param(name) + 0.5)
    encoder = second.get_pipe("ctxemb").model.to_bytes()  # type: ignore[attr-defined] # a ContextualEmbedder
    assert build_save_head("ner", path)(first) is first
    assert build_load_head("ner", path)(second) is second
    heads = [read_head(nlp) for nlp in (first, second)]
    assert len(heads[0]) >= 5
    for a, b in zip(*heads, strict=True):
        np.testing.assert_array_equal(a, b)
    assert second.get_pipe("ctxemb").model.to_bytes() == encoder  # type: ignore[attr-defined] # a ContextualEmbedder


def test_a_head_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path, nlp = str(tmp_path / "head.npz"), with_ner()
    arrays = read_head(nlp)
    np.savez(path, *arrays[:-1], np.zeros(arrays[-1].size + 1))
    with pytest.raises(ValueError, match="do not fit"):
        build_load_head("ner", path)(nlp)
    np.savez(path, *arrays[:-1])
    with pytest.raises(ValueError, match="shorter"):
        build_load_head("ner", path)(nlp)
