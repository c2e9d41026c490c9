"""Variants of recipes: which commands a trial runs, which score it keeps, and the table."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from spacy.cli._util import parse_config_overrides
from spacy.cli.convert import convert
from spacy.cli.train import train
from typer.testing import CliRunner

from spacy_ctxemb.cli import ctxemb_cli

from ..small_corpus import copy_corpus
from . import accuracy, recipes, step_log
from .accuracy_data import DataSet
from .accuracy_runs import Failed, Finished, Job, write_json
from .recipes import Trial, find_best, find_data_sets, read_scores, render, split_options

NER = DataSet("ner", "ner", "en", Path("corpus"))
LEARN_RATE = "--training.optimizer.learn_rate"


@pytest.mark.parametrize(
    "text, written, settings",
    [
        ("", [], []),
        ("--freeze", ["--freeze"], []),
        ("--encoder minilm --freeze", ["--encoder", "minilm", "--freeze"], []),
        (f"--freeze {LEARN_RATE} 0.002 --cnn", ["--freeze", "--cnn"], [LEARN_RATE, "0.002"]),
        ("--encoder a.b/c", ["--encoder", "a.b/c"], []),
        ("--encoder=a.b", ["--encoder=a.b"], []),
        (f"{LEARN_RATE}=0.1", [], [f"{LEARN_RATE}=0.1"]),
        ("--paths.train 'my folder'", [], ["--paths.train", "my folder"]),
    ],
)
def test_settings_have_dots(text: str, written: list[str], settings: list[str]) -> None:
    assert split_options(text) == (written, settings)


def make_data(folder: Path) -> None:
    for task, suffix in (("ner", "conll"), ("textcat", "jsonl.gz")):
        for name in ("b", "a"):
            (folder / task / f"{task}_{name}").mkdir(parents=True)
            for part in ("train", "dev"):
                (folder / task / f"{task}_{name}" / f"{part}.{suffix}").touch()
    (folder / "ner" / "only_test").mkdir()
    (folder / "ner" / "only_test" / "test.conll").touch()
    (folder / "ner" / "README.md").touch()


def test_data_sets_are_folders_with_train_and_dev(tmp_path: Path) -> None:
    make_data(tmp_path)
    found = find_data_sets(tmp_path, "", "de")
    assert [(one.name, one.task) for one in found] == [
        ("ner_a", "ner"),
        ("ner_b", "ner"),
        ("textcat_a", "textcat"),
        ("textcat_b", "textcat"),
    ]
    assert {one.lang for one in found} == {"de"}
    (one,) = find_data_sets(tmp_path, "ner_b", "de")
    assert [command[1] for command in one.convert(tmp_path)] == [
        str(tmp_path / "ner" / "ner_b" / f"{part}.conll") for part in ("train", "dev")
    ]
    with pytest.raises(SystemExit, match="only_test"):
        find_data_sets(tmp_path, "ner_b,only_test", "de")


def test_trials_have_names_of_their_own() -> None:
    """So that results do not replace each other."""
    variants = ["", "--cnn", f"{LEARN_RATE} 0.002", f"{LEARN_RATE} 0.02"]
    trials = [
        Trial(NER, "--freeze", one, n, 4, seed)
        for one in variants
        for n in (0, 9)
        for seed in (0, 1)
    ]
    assert len({trial.name for trial in trials}) == len(trials)
    assert len({trial.job().folder for trial in trials}) == len(trials)


def test_a_trial_trains_and_keeps_its_best_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the start of a process for each command."""
    log = tmp_path / "tests" / "benchmarks" / "step_log.py"
    log.parent.mkdir(parents=True)
    shutil.copy(step_log.__file__, log)
    monkeypatch.chdir(tmp_path)
    NER.corpus.mkdir(parents=True)
    copy_corpus(tmp_path, 40, tasks=("ner",))
    for path in (tmp_path / "ner").iterdir():
        convert(path, NER.corpus, converter="ner", n_sents=1, file_type="spacy", silent=True)
    (NER.corpus / "benchmark.json").write_text("{}")
    trial = Trial(NER, "--freeze", f"{LEARN_RATE} 0.125", 30, 8, 0)
    job = trial.job()
    job.folder.mkdir(parents=True)
    result = CliRunner().invoke(ctxemb_cli, job.commands["config"][1:])
    assert result.exit_code == 0, result.output
    _, config, _, output, _, _, *overrides = job.commands["train"]
    train(Path(config), Path(output), overrides=parse_config_overrides(overrides))
    rows = [json.loads(line) for line in (job.folder / "steps.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 2, 4, 6, 8]
    best = find_best(job, {"train": Finished(2.0, 1.0)})
    assert best["score"] == max(row["score"] for row in rows)
    meta = json.loads((job.folder / "model-best" / "meta.json").read_text())
    assert meta["performance"]["ents_f"] == pytest.approx(best["score"])
    saved = (job.folder / "model-best" / "config.cfg").read_text()
    assert "learn_rate = 0.125" in saved
    assert "limit = 30" in saved


def invoke(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(recipes.main)
    return CliRunner().invoke(app, arguments)


def test_the_table_compares_with_the_first_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_data(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    scores = {("ner_a", ""): 0.5, ("ner_b", ""): 0.25, ("ner_a", "--cnn"): 0.75}

    def run_job(job: Job, path: Path, **options: Any) -> bool:
        about = job.about
        key = (about["data_set"], about["variant"])
        if key not in scores:
            raise Failed("exit code 1")
        write_json(path, {"score": scores[key] + 0.02 * about["seed"]})
        return True

    monkeypatch.setattr(accuracy, "run_job", run_job)
    monkeypatch.setattr(accuracy, "run_once", lambda *arguments: None)
    options = ["--data", "data", "--datasets", "ner_a,ner_b", "--seeds", "0,1"]
    result = invoke(*options, "--variant", "", "--variant", "--cnn")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:4] == [
        "| variant | ner_a | ner_b | mean difference |",
        "|---|---|---|---|",
        "| `as written` | 51.0 ± 1.4 | 26.0 ± 1.4 | +0.0 |",
        "| `--cnn` | 76.0 ± 1.4 |  | +25.0 |",
    ]
    assert "2 trials failed" in result.output


def test_what_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    trial = Trial(NER, "--freeze", "", 0, 4, 0)
    assert read_scores([trial], tmp_path) == {}
    assert render({("ner", ""): [50.0]}, ["", "--cnn"]).splitlines()[2:] == [
        "| `as written` | 50.0 | +0.0 |",
        "| `--cnn` |  |  |",
    ]
