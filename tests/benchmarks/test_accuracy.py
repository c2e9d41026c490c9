"""The cells of the table of accuracy: which there are, that their commands train, and the table."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from spacy.cli._util import parse_config_overrides
from spacy.cli.convert import convert
from spacy.cli.evaluate import evaluate
from spacy.cli.init_config import init_config
from spacy.cli.train import train
from spacy.util import load_config
from typer.testing import CliRunner

from spacy_ctxemb.cli import ctxemb_cli

from ..pipelines import BILM, initialised
from ..small_corpus import copy_corpus
from . import accuracy, step_log
from .accuracy_cells import STEP_LOG, WAYS, Cell, list_cells, list_rows
from .accuracy_data import DATA_SETS
from .accuracy_runs import Failed, Finished, Job, measure_test, write_json
from .accuracy_table import render, summarise, write_table

ROOT = Path(__file__).parents[2]

#: Examples of each part of the corpus.
N_EXAMPLES = 60
ROWS = list_rows(["english", "minilm", "encoder"])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts of the project that cells need, small data, and an encoder."""
    folder = tmp_path_factory.mktemp("template")
    (folder / STEP_LOG).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / STEP_LOG, folder / STEP_LOG)
    initialised(BILM).to_disk(folder / "encoder")
    corpus = folder / DATA_SETS["wnut17"].corpus
    corpus.mkdir(parents=True)
    copy_corpus(folder, N_EXAMPLES, tasks=("ner",))
    for path in (folder / "ner").iterdir():
        convert(path, corpus, converter="ner", n_sents=1, file_type="spacy", silent=True)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the template, to work in."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_cell(row: str, **settings: Any) -> Cell:
    usual = {"data_set": DATA_SETS["wnut17"], "row": ROWS[row], "limit": 0, "seed": 0, "steps": 4}
    return Cell(**{**usual, **settings})


def run_in_process(cell: Cell) -> dict[str, Any]:
    """What its commands do, without the start of a process for each."""
    commands = cell.job().commands
    cell.folder.mkdir(parents=True)
    *words, path, lang_option, lang = commands["config"][:5]
    if words == ["init", "config"]:
        config = init_config(lang=lang, pipeline=["ner"], optimize="efficiency", silent=True)
        config.to_disk(path)
    else:
        result = CliRunner().invoke(ctxemb_cli, commands["config"][1:])
        assert result.exit_code == 0, result.output
    _, config_path, *rest = commands["train"]
    options = dict(zip(rest[0:4:2], rest[1:4:2], strict=True))
    assert list(options) == ["--output", "--code"]
    overrides = parse_config_overrides(rest[4:])
    train(Path(config_path), Path(options["--output"]), overrides=overrides)
    _, model, data, option, output = commands["evaluate"]
    assert option == "--output"
    evaluate(model, Path(data), Path(output))
    return measure_test(cell.job(), dict.fromkeys(commands, Finished(0.0, 0.0)))


@pytest.mark.parametrize("row", ["spacy", "encoder-finetuned", "encoder-frozen", "encoder-stacked"])
def test_the_commands_of_a_cell(row: str, project: Path) -> None:
    cell = make_cell(row, limit=60, seed=3, steps=2)
    result = run_in_process(cell)
    assert 0 <= result["score"] <= 1
    assert [step for step, _ in result["dev"]] == [0, 1, 2]
    config = load_config(cell.folder / "model-best" / "config.cfg").interpolate()
    assert config["training"]["seed"] == 3
    is_frozen = row in ("encoder-frozen", "encoder-stacked")
    assert config["training"]["frozen_components"] == (["ctxemb"] if is_frozen else [])
    if row == "spacy":
        return
    files = [
        p / "ctxemb/model/encoder.safetensors"
        for p in (Path("encoder"), cell.folder / "model-last")
    ]
    assert (files[0].read_bytes() == files[1].read_bytes()) == is_frozen


def test_rows_are_each_encoder_in_each_way() -> None:
    names = ["spacy", *(f"{name}-{way}" for name in ("english", "bert") for way in WAYS)]
    rows = list_rows(["english", "pipelines/bert"])
    assert list(rows) == names
    assert rows["bert-stacked"].encoder == "pipelines/bert"
    commands = make_cell("spacy").job().commands
    assert commands["config"][:2] == ["init", "config"]
    frozen = make_cell("minilm-frozen").job().commands["config"]
    assert frozen[:2] == ["ctxemb", "init-config"]
    assert frozen[5:] == ["--task", "ner", "--encoder", "minilm", "--freeze"]


def test_seeds_are_for_the_headline_and_limits_for_all() -> None:
    data_sets = [DATA_SETS["wnut17"], DATA_SETS["ag_news"]]
    rows = [ROWS["spacy"], ROWS["english-frozen"]]
    settings = {"limits": [100, 0], "seeds": [1, 2], "headline": ["spacy"], "steps": 7}
    cells = list(list_cells(data_sets, rows, **settings))
    names = [cell.name for cell in cells]
    assert names[:6] == [
        "wnut17/spacy-100-seed1",
        "wnut17/spacy-100-seed2",
        "wnut17/english-frozen-100-seed1",
        "wnut17/spacy-seed1",
        "wnut17/spacy-seed2",
        "wnut17/english-frozen-seed1",
    ]
    assert len(names) == len(set(names)) == 12
    assert {cell.n_steps for cell in cells} == {7}


def test_few_examples_take_fewer_steps() -> None:
    cell = Cell(DATA_SETS["ag_news"], ROWS["spacy"], 0, 0)
    steps = {limit: cell._replace(limit=limit).n_steps for limit in (0, 100, 500, 9000)}
    assert steps == {0: 2000, 100: 200, 500: 500, 9000: 2000}
    assert cell._replace(limit=100, steps=7).n_steps == 7


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SystemExit, match=r"--rows: no \['minlm'\]; there are \['spacy'"):
        accuracy.pick(ROWS, "minlm,spacy", "rows")


# The log of steps


def test_the_time_of_evaluations_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take 1 s each, and the two with an evaluation 10 s; of these, nothing counts."""
    clock = {"now": 0.0}
    monkeypatch.setattr(step_log.time, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(step_log.time, "process_time", lambda: clock["now"] / 2)
    timer = step_log.Timer()
    for is_plain in (False, True, True, False, True):
        clock["now"] += 1 if is_plain else 10
        timer.step(is_plain=is_plain)
    assert timer.read() == {"steps": 3, "seconds": 3.0, "cpu_seconds": 1.5}


def test_steps_without_an_evaluation_are_timed(project: Path) -> None:
    """Of steps 0 to 8 those with odd numbers; an evaluation follows the others."""
    cell = make_cell("spacy", steps=8)
    result = run_in_process(cell)
    lines = (cell.folder / "steps.jsonl").read_text(encoding="utf8").splitlines()
    assert [json.loads(line)["steps"] for line in lines] == [0, 1, 2, 3, 4]
    assert result["train_words_per_second"] > 0


# The table


def make_result(row: str, seed: int, score: float, **settings: Any) -> dict[str, Any]:
    figures = {"words": 1000, "train_words_per_second": 10.0 * (seed + 1)}
    figures["train_words_per_cpu_second"] = 20.0 * (seed + 1)
    names = ("predict_words_per_second", "train_megabytes", "predict_megabytes", "disk_megabytes")
    return {
        **{"data_set": "wnut17", "row": row, "limit": 0, "seed": seed, "score": score},
        **{"steps": 5, "threads": 1, "metric": "ents_f"},
        **dict.fromkeys(names, 1.0),
        **figures,
        **{"commands": {"train": f"train {row} {seed}", "evaluate": "evaluate"}},
        **settings,
    }


def test_a_row_is_the_mean_over_seeds() -> None:
    scores = {2: 0.3, 0: 0.1, 1: 0.5}
    results = [make_result("spacy", seed, score) for seed, score in scores.items()]
    (row,) = summarise(results)
    assert row["seeds"] == [0, 1, 2]
    assert (row["score"], row["spread"]) == (30.0, 20.0)
    assert row["train_words_per_second"] == 20.0
    assert row["commands"]["train"] == "train spacy 0"


def test_the_order_is_that_of_the_cells_with_few_examples_first() -> None:
    results = [
        make_result("minilm-frozen", 0, 0.5),
        make_result("spacy", 0, 0.4, data_set="ag_news", metric="cats_micro_f"),
        make_result("spacy", 0, 0.4),
        make_result("minilm-frozen", 0, 0.2, limit=100),
        make_result("spacy", 0, 0.3, steps=9),
    ]
    rows = [(r["data_set"], r["limit"], r["row"], r["steps"]) for r in summarise(results)]
    assert rows == [
        ("wnut17", 100, "minilm-frozen", 5),
        ("wnut17", 0, "spacy", 5),
        ("wnut17", 0, "spacy", 9),
        ("wnut17", 0, "minilm-frozen", 5),
        ("ag_news", 0, "spacy", 5),
    ]
    text = render(summarise(results))
    assert text.index("## wnut17: 100 training examples") < text.index("## wnut17: all training")
    assert "| row | accuracy | seeds |" in text[text.index("## ag_news") :]
    assert "| minilm-frozen | 50.0 | 1 | 5 | 1,000 | 10 | 20 | 1 | 1 | 1 | 1.0 |" in text


def test_the_table_is_written_beside_the_cells(tmp_path: Path) -> None:
    cell = tmp_path / "cells" / "wnut17" / "spacy-seed0.json"
    cell.parent.mkdir(parents=True)
    cell.write_text(json.dumps(make_result("spacy", 0, 0.5)), encoding="utf8")
    (cell.parent / "other.json.tmp7").write_text("{", encoding="utf8")
    (row,) = write_table(tmp_path)
    assert json.loads((tmp_path / "table.json").read_text(encoding="utf8")) == [row]
    assert "| spacy | 50.0 | 1 |" in (tmp_path / "table.md").read_text(encoding="utf8")
    assert len(list(tmp_path.iterdir())) == 3


# All of it


def invoke(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(accuracy.main)
    return CliRunner().invoke(app, arguments)


def test_a_cell_that_fails_does_not_stop_the_others(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def run_job(job: Job, path: Path, *, threads: int, keep: bool) -> bool:
        calls.append(path.stem)
        if path.stem == "spacy-seed1" and len(calls) < 5:
            raise Failed("exit code 3")
        found = {**make_result(job.about["row"], job.about["seed"], 0.5), "threads": threads}
        write_json(path, found)
        return True

    monkeypatch.setattr(accuracy, "run_job", run_job)
    monkeypatch.setattr(accuracy, "run_once", lambda *arguments: None)
    (project / "data" / "ner" / "wnut17").mkdir(parents=True)
    options = ["--data", "data", "--rows", "spacy,english-frozen"]
    options += ["--seeds", "0,1,2", "--headline", "spacy", "--output", "out"]
    first = invoke(*options)
    assert first.exit_code == 1
    assert calls == [*(f"spacy-seed{seed}" for seed in range(3)), "english-frozen-seed0"]
    assert "| spacy | 50.0 ± 0.0 | 2 |" in Path("out/table.md").read_text(encoding="utf8")
    assert invoke(*options).exit_code == 0
    assert "| spacy | 50.0 ± 0.0 | 3 |" in Path("out/table.md").read_text(encoding="utf8")
    assert len(calls) == 8


def test_the_table_alone_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "run_jobs", None)
    write_json(tmp_path / "cells/wnut17/a.json", make_result("spacy", 0, 0.5))
    assert invoke("--table", "--output", str(tmp_path)).exit_code == 0
    assert (tmp_path / "table.md").exists()


@pytest.mark.parametrize("encoders", [["a/model-best", "b/model-best"], ["a/spacy"]])
def test_encoders_of_one_name(encoders: list[str]) -> None:
    with pytest.raises(ValueError, match="Give each encoder a folder of another name"):
        list_rows(encoders)
