"""Configs that fit a head of texts to few examples."""

from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.cli.train import train
from spacy.training.initialize import init_nlp
from spacy.util import load_config

from spacy_ctxemb.config_writer import recipes
from spacy_ctxemb.config_writer.check_options import Choices
from spacy_ctxemb.config_writer.render import build_config
from spacy_ctxemb.doctor.run_all_checks import examine

from .conftest import Build
from .test_render import check_valid, overrides


@pytest.mark.parametrize("encoder", ["english", "minilm", "transformer pipeline"])
@pytest.mark.parametrize("task", ["textcat", "textcat_multilabel"])
def test_what_is_written(encoder: str, task: str, draft: Build) -> None:
    config = draft(encoder, tasks=(task,), few=True)
    assert config["components"][task]["factory"] == "ctxemb_textcat"
    model = config["components"][task]["model"]
    assert model["normalize"] is True and model["reads"] == "piece_mean"
    assert config["initialize"]["components"] == {task: {"fit": True}}
    training = config["training"]
    assert training["frozen_components"] == training["annotating_components"] == ["ctxemb"]
    assert (training["max_steps"], training["optimizer"]["learn_rate"]) == (1, 0.0)


@pytest.mark.parametrize("encoder", ["english", "transformer pipeline"])
def test_all_may_learn_on(encoder: str, draft: Build) -> None:
    config = draft(encoder, tasks=("textcat",), few=True, freeze=False)
    assert config["initialize"]["components"] == {"textcat": {"fit": True}}
    assert config["training"]["frozen_components"] == []
    assert config["training"]["max_steps"] in recipes.MAX_STEPS.values()
    assert ("before_init" in config["initialize"]) == ("pipeline" in encoder)


@pytest.mark.parametrize("freeze", [None, False])
def test_training(
    freeze: bool | None, folder: Path, tmp_path: Path, build: Build, capsys: Any
) -> None:
    """Frozen, it takes one evaluation, and what was fitted is the best and the last model."""
    config = build("transformer pipeline", tasks=("textcat_multilabel",), few=True, freeze=freeze)
    check_valid(config, folder, tmp_path, capsys)
    settings: dict[str, Any] = {"paths.log": str(tmp_path / "log.jsonl")}
    if freeze is False:
        settings |= {"training.max_steps": 2, "training.eval_frequency": 2}
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=overrides(folder) | settings)
    steps = [row["step"] for row in srsly.read_jsonl(tmp_path / "log.jsonl")]
    assert steps == ([0] if freeze is None else [0, 2])
    best, last = (spacy.load(tmp_path / "out" / f"model-{name}") for name in ("best", "last"))
    text = "Ada Lovelace lives in Oslo."
    assert best(text).cats
    if freeze is None:
        assert best(text).cats == last(text).cats
        fresh = init_nlp(load_config(tmp_path / "config.cfg", overrides(folder)))
        assert best(text).cats == pytest.approx(fresh(text).cats, abs=1e-5)


def test_the_doctor_agrees(folder: Path, tmp_path: Path, build: Build) -> None:
    config = build("transformer pipeline", tasks=("textcat_multilabel",), few=True)
    config.to_disk(tmp_path / "config.cfg")
    report = examine(tmp_path / "config.cfg", overrides(folder), limit=20, measure=False)
    found = [one for some in report.topics.values() for one in some]
    assert not [one for one in found if one.level.value == "error"]
    assert any("['textcat_multilabel'] are fitted before the first" in one.message for one in found)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"tasks": ["ner"]}, r"E645.*\['ner'\].*none"),
        ({"tasks": ["textcat", "tagger"]}, "E645.*'tagger'"),
        ({"tasks": ["textcat"], "head": False}, "E645.*way: --no-head"),
        ({"tasks": ["textcat"], "cnn": True}, "E645.*way: --cnn"),
        ({"tasks": ["textcat"], "cache": True}, "E645.*--cache"),
        ({"tasks": ["textcat"], "listener_mix": True}, "E645.*--listener-mix"),
        ({"tasks": ["textcat"], "encoder": "bilm"}, "E646.*'bilm' begins with random weights"),
    ],
)
def test_what_does_not_go_along(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_config(Choices(few=True, **settings))
