"""Which trainings a comparison has, and which of them it does."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb.comparison import train_one_run as train
from spacy_ctxemb.comparison.run_missing_trainings import do_runs, plan_runs, read_result
from spacy_ctxemb.comparison.train_one_run import Run


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """Two configs and a corpus, which nobody reads."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for part in ("train", "dev", "test"):
        (corpus / f"{part}.spacy").write_bytes(b"docs")
    for name in ("a", "b"):
        (tmp_path / f"{name}.cfg").write_text(name)
    configs = {"one": [tmp_path / "a.cfg"], "two": [tmp_path / "a.cfg", tmp_path / "b.cfg"]}
    return {"configs": configs, "corpora": {"news": corpus}}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that train, or rather pretend to."""
    runs: list[Run] = []

    def pretend(run: Run, gpu_id: int) -> dict[str, Any]:
        runs.append(run)
        return {"config": run.config}

    monkeypatch.setattr(train, "train", pretend)
    return runs


def plan(files: dict[str, Any], **changes: Any) -> list[Run]:
    numbers = {"sizes": [10, 0], "seeds": [0, 1, 2], "seeds_of_all": [0], "overrides": {}}
    return plan_runs(**{**files, **numbers, **changes})


def test_small_sets_have_more_seeds(files: dict[str, Any]) -> None:
    runs = plan(files)
    assert Counter((run.config, run.n_labelled) for run in runs) == {
        ("one", 10): 3,
        ("two", 10): 3,
        ("one", 0): 1,
        ("two", 0): 1,
    }
    assert len({run.name for run in runs}) == len(runs)


@pytest.mark.parametrize("content", ["", "[1]", 99_999 * "[", 5000 * "1"], ids=lambda x: x[:9])
def test_half_a_result_is_none(content: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(content)
    assert read_result(path) == {}


def test_a_missing_file_is_named(files: dict[str, Any]) -> None:
    (files["corpora"]["news"] / "test.spacy").unlink()
    with pytest.raises(ValueError, match=r"\[E513\].*missing: .*test\.spacy"):
        plan(files)


def test_two_trainings_have_two_results(files: dict[str, Any]) -> None:
    config, corpus = files["configs"]["one"], files["corpora"]["news"]
    files = {"configs": {"b": config, "10-b": config}, "corpora": {"a-10": corpus, "a": corpus}}
    with pytest.raises(ValueError, match=r"\[E514\] 'a=.*' is not NAME=PATH.*of their own"):
        plan(files)


def test_what_is_there_is_not_trained_again(
    files: dict[str, Any], done: list[Run], tmp_path: Path
) -> None:
    runs = plan(files)
    assert len(list(do_runs(runs[:3], tmp_path / "out"))) == 3
    assert len(list(do_runs(runs, tmp_path / "out"))) == 5
    assert done == runs
    assert json.loads((tmp_path / "out" / f"{runs[0].name}.json").read_text())["config"] == "one"


def test_what_has_changed_is_trained_again(
    files: dict[str, Any], done: list[Run], tmp_path: Path
) -> None:
    list(do_runs(plan(files), tmp_path / "out"))
    files["configs"]["two"][1].write_text("changed")
    again = list(do_runs(plan(files), tmp_path / "out"))
    assert [result["config"] for result in again] == ["two"] * 4
    assert len(list(do_runs(plan(files, overrides={"a.b": 1}), tmp_path / "out"))) == 8


def test_an_interrupted_run_leaves_no_result(
    files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(run: Run, gpu_id: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(do_runs(plan(files), tmp_path / "out"))
    assert list(tmp_path.glob("out/*")) == []


def test_nothing_is_trained_whose_result_cannot_be_kept(
    files: dict[str, Any], done: list[Run], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"\[E164\] .*file.* cannot be written"):
        next(do_runs(plan(files), tmp_path / "file"))
    assert done == []
