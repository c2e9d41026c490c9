"""The first step of a training is run and measured, and its failures are said."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from spacy.language import DEFAULT_CONFIG_PRETRAIN_PATH
from spacy.util import load_config

from spacy_ctxemb.doctor import check_first_step
from spacy_ctxemb.doctor.build_components import Plan
from spacy_ctxemb.doctor.check_first_step import measure_memory, start_training, write_trial
from spacy_ctxemb.doctor.check_number_of_steps import plan_steps
from spacy_ctxemb.doctor.findings import Level
from spacy_ctxemb.doctor.read_samples import read_samples

from .configs import TEXTS, build_plan, classifier, mixer, tok2vec, write_pipeline, write_texts


def write(folder: Path, **settings: Any) -> tuple[Plan, list[Any]]:
    """A trial in a folder, and the batch of its step."""
    corpora = {name: write_texts(folder / f"{name}.spacy", TEXTS) for name in ("train", "dev")}
    plan = build_plan(corpora=corpora, **settings)
    sample = read_samples(plan, 0)[0]["train"]
    batch = plan_steps(plan, sample).largest
    write_trial(plan, sample, batch, folder)
    return plan, batch


def test_a_step_is_measured(tmp_path: Path) -> None:
    _, batch = write(tmp_path)
    check_first_step.write_result(tmp_path, len(batch), -1)
    figures = json.loads((tmp_path / "result.json").read_text())
    assert 50 < figures["start"] <= figures["prediction"] <= figures["update"] < 16_000


def test_what_stops_training_in_its_first_step(tmp_path: Path) -> None:
    components = {"ctxemb": write_pipeline(tmp_path / "nlp"), "textcat": classifier()}
    _, batch = write(tmp_path, components=components, training={"frozen_components": ["ctxemb"]})
    check_first_step.write_result(tmp_path, len(batch), -1)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["error"].startswith("[E025] 'textcat' is trained on the vectors of 'ctxemb'")


def test_the_largest_batch_comes_first(tmp_path: Path) -> None:
    batcher = {"@batchers": "spacy.batch_by_sequence.v1", "size": 5}
    plan, batch = write(tmp_path, training={"batcher": batcher})
    assert len(batch) == 5
    again = build_plan(
        corpora={"train": str(tmp_path / "sample.spacy"), "dev": str(tmp_path / "dev.spacy")}
    )
    sample = read_samples(again, 0)[0]["train"]
    assert [doc.text for doc in sample.docs[:5]] == [eg.reference.text for eg in batch]
    assert sorted(doc.text for doc in sample.docs) == sorted(TEXTS)


def test_training_starts(tmp_path: Path) -> None:
    write(tmp_path)
    encoders, findings = start_training(tmp_path)
    assert list(encoders) == ["ctxemb"] and findings == []
    assert encoders["ctxemb"].is_materialised


PRETRAINING = {**load_config(DEFAULT_CONFIG_PRETRAIN_PATH)["pretraining"], "component": "ctxemb"}
LOADER = {"encoder_loader": {"@misc": "spacy-ctxemb.BertWeights.v1", "path": "nowhere"}}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"initialize": {"components": {"ctxemb": LOADER}}}, "[E"),
        (
            {
                "initialize": {"init_tok2vec": "nowhere"},
                "pretraining": PRETRAINING,
            },
            "can't find pretrained tok2vec: nowhere",
        ),
        ({"training": {"frozen_components": ["nobody"]}}, "[E001] No component 'nobody' found"),
        (
            {"components": {"tok2vec": tok2vec(), "textcat": mixer(16, upstream="tok2vec")}},
            "[E031] A LayerMix",
        ),
    ],
)
def test_what_stops_training_at_its_start(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write(tmp_path, **settings)
    encoders, (finding,) = start_training(tmp_path)
    assert encoders == {} and finding.level is Level.error
    assert finding.message.startswith("Training would fail before its first step: ")
    assert message in finding.message


@pytest.mark.parametrize(
    "reason, key",
    [
        (ValueError("[E025] no vectors"), "error"),
        (MemoryError(), "failure"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "failure"),
        (RuntimeError("CUDA out of memory."), "failure"),
    ],
)
def test_what_the_process_reports(
    reason: Exception, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise reason

    monkeypatch.setattr(check_first_step, "run_first_step", fail)
    check_first_step.write_result(tmp_path, 1, -1)
    (found,) = json.loads((tmp_path / "result.json").read_text()).items()
    assert found[0] == key and str(reason) in found[1]


@pytest.mark.parametrize(
    "result, code, level, message",
    [
        ({"error": "[E025] none"}, 0, Level.error, "Training would fail in its first step: [E025]"),
        ({"failure": "no"}, 0, Level.warning, "Memory could not be measured on the CPU with"),
        (None, -9, Level.warning, "ended with code -9: memory was probably not enough."),
        (None, 1, Level.warning, "ended with code 1: the last words."),
        ({"start": 1, "update": 20_000}, 0, Level.warning, "took 20,000 MB, of them 1 MB for"),
    ],
)
def test_what_a_step_means(
    result: Any,
    code: int,
    level: Level,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(command: list[str], **settings: Any) -> Any:
        if result is not None:
            (tmp_path / "result.json").write_text(json.dumps(result))
        return subprocess.CompletedProcess(command, code, "", "the last\nwords")

    monkeypatch.setattr(subprocess, "run", run)
    _, finding = measure_memory(tmp_path, [], -1)
    assert finding.level is level and message in finding.message and finding.advice


def test_a_step_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **settings: Any) -> Any:
        raise subprocess.TimeoutExpired(command, 300)

    monkeypatch.setattr(subprocess, "run", run)
    _, finding = measure_memory(tmp_path, [], -1)
    assert "it took more than 300 seconds" in finding.message


def test_nothing_in_the_working_directory_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with data may hold modules that somebody else has put there."""
    _, batch = write(tmp_path)
    (tmp_path / "here").mkdir()
    for name in ("json", "runpy", "torch", "spacy", "spacy_ctxemb"):
        (tmp_path / "here" / f"{name}.py").write_text("open('run', 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend("")  # as in an interactive Python
    figures, _ = measure_memory(tmp_path, batch, -1)
    assert figures["update"] > 50
    assert not (tmp_path / "here" / "run").exists()
