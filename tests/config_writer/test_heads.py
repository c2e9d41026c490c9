"""Configs whose tasks are heads."""

import json
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.cli.train import train

from spacy_ctxemb.config_writer import recipes
from spacy_ctxemb.config_writer.check_options import Choices
from spacy_ctxemb.config_writer.render import build_config
from spacy_ctxemb.doctor.run_all_checks import examine

from ..cli.command import run_well
from ..stacks import stack, stacked
from .conftest import Build
from .test_render import check_valid, overrides

TASKS = ("ner", "textcat_multilabel", "tagger")


@pytest.mark.parametrize("encoder", ["english", "bilm", "transformer pipeline"])
@pytest.mark.parametrize("freeze", [False, True])
def test_what_is_written(encoder: str, freeze: bool, draft: Build) -> None:
    config = draft(encoder, tasks=TASKS, head=True, freeze=freeze)
    components = config["components"]
    assert components["ner"]["factory"] == "ctxemb_ner"
    assert components["textcat_multilabel"]["factory"] == "ctxemb_textcat"
    assert components["textcat_multilabel"]["kind"] == "multi_label"
    assert components["tagger"]["factory"] == "tagger"
    for task, reads in (("ner", "pieces"), ("textcat_multilabel", "mean")):
        model = components[task]["model"]
        assert (model["@architectures"], model["reads"]) == ("spacy-ctxemb.Head.v1", reads)
        assert model["tok2vec"]["@architectures"] == "spacy-ctxemb.PieceStatesListener.v1"
    assert "before_init" not in config.get("initialize", {}) or not freeze


@pytest.mark.parametrize("encoder, freeze", [("english", False), ("transformer pipeline", True)])
def test_two_steps_of_training(
    encoder: str, freeze: bool, folder: Path, tmp_path: Path, build: Build, capsys: Any
) -> None:
    config = build(encoder, tasks=TASKS, head=True, freeze=freeze)
    check_valid(config, folder, tmp_path, capsys)
    steps = {"training.max_steps": 2, "training.eval_frequency": 1}
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=overrides(folder) | steps)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    doc = nlp("Ada Lovelace lives in Oslo.")
    assert doc.cats and doc[0].tag_ and doc.has_annotation("ENT_IOB")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"tasks": ["tagger"]}, r"E620.*\['tagger'\].*none"),
        ({"tasks": ["ner"], "cnn": True}, "E620.*in its way: --cnn"),
        ({"tasks": ["ner"], "cache": True, "freeze": True}, "E620.*--cache"),
        ({"tasks": ["ner"], "listener_mix": True}, "E620.*--listener-mix"),
    ],
)
def test_what_a_head_does_without(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Choices(head=True, **settings)


def test_several_encoders_have_no_states(tmp_path: Path) -> None:
    stacked(stack()).to_disk(tmp_path)
    with pytest.raises(ValueError, match="E044.*The PieceStatesListener of 'ner'"):
        build_config(Choices(["ner"], encoder=str(tmp_path), head=True))


def test_doctor_knows_heads(folder: Path, tmp_path: Path, build: Build) -> None:
    build("bilm", tasks=TASKS, head=True).to_disk(tmp_path / "config.cfg")
    report = examine(tmp_path / "config.cfg", overrides(folder), limit=20, measure=False)
    found = [one.message for some in report.topics.values() for one in some]
    assert any("'ner' reads the states of 'ctxemb', width" in one for one in found)
    assert any(one.startswith("'ner': ") and "labels" in one for one in found)


def test_questions(build: Build) -> None:
    """They need no listener: their component runs the encoder itself."""
    config = build("english", tasks=("ner", "qa"))
    assert config["components"]["qa"]["encoder"] == "ctxemb"
    assert "model" not in config["components"]["qa"]
    assert config["training"]["score_weights"]["qa_f1"] == 0.5
    assert spacy.blank("en").from_config(config).pipe_names == ["ctxemb", "ner", "qa"]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `convert-squad` makes of questions, as both corpora."""
    folder = tmp_path_factory.mktemp("squad")
    qas = [
        {"id": "1", "question": "Who lived?", "answers": [{"text": "Ada", "answer_start": 0}]},
        {"id": "2", "question": "Who swam?", "answers": []},
    ]
    article = {"paragraphs": [{"context": "Ada Lovelace lived in London.", "qas": qas}]}
    (folder / "squad.json").write_text(json.dumps({"data": [article]}))
    run_well("convert-squad", folder / "squad.json", folder / "squad.spacy")
    return {f"paths.{part}": str(folder / "squad.spacy") for part in ("train", "dev")}


@pytest.mark.parametrize("freeze", [False, True])
def test_two_steps_of_training_on_questions(
    freeze: bool, questions: dict[str, str], folder: Path, tmp_path: Path, build: Build, capsys: Any
) -> None:
    config = build("transformer pipeline", tasks=("qa",), freeze=freeze)
    check_valid(config, folder, tmp_path, capsys)
    report = examine(tmp_path / "config.cfg", questions, limit=20, measure=False)
    found = [one for some in report.topics.values() for one in some]
    assert not report.has_errors
    assert not any("Nothing trains" in one.message for one in found)
    assert freeze or any("'ctxemb' is trained by ['qa']" in one.message for one in found)
    steps = {"training.max_steps": 2, "training.eval_frequency": 1}
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=questions | steps)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.meta["performance"]["qa_f1"] is not None


def test_questions_read_nothing_of_docs(draft: Build) -> None:
    """Beside a frozen encoder they need neither its vectors nor a cache of them."""
    for optimize in ("efficiency", "accuracy"):
        config = draft("transformer pipeline", tasks=("qa",), freeze=True, optimize=optimize)
        assert config["training"]["frozen_components"] == ["ctxemb"]
        assert config["training"]["annotating_components"] == []
        assert "initialize" not in config
        assert config["training"]["optimizer"]["learn_rate"] == recipes.TRANSFORMER.head_rate
    config = draft("transformer pipeline", tasks=("tagger", "qa"), freeze=True)
    assert config["training"]["annotating_components"] == ["ctxemb"]
    assert config["initialize"]["before_init"]["@callbacks"] == "spacy-ctxemb.UseCache.v1"


@pytest.mark.parametrize("option", ["listener_mix", "cache", "cnn"])
def test_what_questions_do_without(option: str) -> None:
    name = option.replace("_", "-")
    with pytest.raises(ValueError, match=rf"E625.*\['qa'\]. Leave out --{name},"):
        Choices(["qa"], freeze=True, **{option: True})
    Choices(["qa", "ner"], freeze=True, **{option: True})


def test_questions_need_subwords(draft: Build, tmp_path: Path) -> None:
    stacked(stack()).to_disk(tmp_path)
    for encoder in ("bilm", "bilm pipeline", str(tmp_path)):
        with pytest.raises(ValueError, match=f"E624.*'.*{encoder}' cannot read questions"):
            draft(encoder, tasks=("qa",))
    draft("transformer", tasks=("qa",))
