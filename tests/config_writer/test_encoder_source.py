"""What a config knows about the source of its encoder. Messages: tests/cli/test_init_config.py."""

from dataclasses import replace
from pathlib import Path

import pytest
import spacy

from spacy_ctxemb.config_writer import recipes
from spacy_ctxemb.config_writer.encoder_source import Source, find_source
from spacy_ctxemb.config_writer.recipes import Recipe
from spacy_ctxemb.factory import DEFAULT_MODEL

from ..pipelines import BILM, TRANSFORMER, initialised
from ..stacks import stack, stacked

TRANSFORMER_LAYER = {**TRANSFORMER, "mix": {"@architectures": "spacy-ctxemb.Layer.v1"}}


def test_a_new_encoder() -> None:
    source = find_source("bilm")
    assert source == Source(has_subwords=False)
    assert find_source("transformer") == Source()
    assert source.is_new and source.has_layers


def test_the_weights_that_ship() -> None:
    source = find_source("english")
    assert (source.pretrained, source.recipe) == ("en_transformer_sm", recipes.ENGLISH)
    assert (source.component, source.lang) == ("ctxemb", "en")
    assert not source.is_new and source.has_layers
    assert source.model == DEFAULT_MODEL
    assert find_source("en_transformer_sm") == source


def test_minilm() -> None:
    source = find_source("minilm")
    assert (source.pretrained, source.recipe) == ("minilm", recipes.MINILM)
    assert not source.is_new and source.has_layers


def test_a_path_holds_wherever_the_config_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialised(BILM).to_disk(tmp_path / "own")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert find_source("../own").path == str(tmp_path / "own")


def test_a_pipeline(tmp_path: Path) -> None:
    """Another language, another name, and vectors of another width than the layers."""
    nlp = spacy.blank("pt")
    nlp.add_pipe("ctxemb", name="words", config={"model": {**BILM, "width": 10}})
    nlp.initialize()
    nlp.to_disk(tmp_path / "own pipeline")
    path = str(tmp_path / "own pipeline")
    expected = Source("words", "pt", path, width=10, layer_width=16, recipe=recipes.BILM)
    assert find_source(path) == replace(expected, has_subwords=False)
    assert not expected.is_new and expected.has_layers


def test_several_encoders_have_no_common_layers(tmp_path: Path) -> None:
    stacked(stack()).to_disk(tmp_path / "stack")
    source = find_source(str(tmp_path / "stack"))
    assert (source.width, source.layer_width, source.has_layers) == (38, None, False)
    assert source.vectors == str(tmp_path / "stack")


def test_what_a_cache_cannot_hold(tmp_path: Path) -> None:
    initialised(TRANSFORMER_LAYER, doc_pooling="mean").to_disk(tmp_path / "sentences")
    assert "doc_pooling" in (find_source(str(tmp_path / "sentences")).cache_obstacle or "")


def test_recipes_depend_on_the_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(encoder: str) -> Recipe | None:
        return find_source(str(folder / encoder) if "pipeline" in encoder else encoder).recipe

    assert find("english") is recipes.ENGLISH
    assert find("bilm pipeline") is recipes.BILM
    assert find("transformer pipeline") is recipes.TRANSFORMER
    monkeypatch.setattr(recipes, "N_LARGE", 100)
    assert find("transformer pipeline") is recipes.LARGE_TRANSFORMER
    assert find("bilm pipeline") is recipes.BILM
