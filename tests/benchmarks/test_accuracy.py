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
from spacy.cli.train import train
from spacy.util import load_config
from typer.testing import CliRunner

from ..pipelines import BILM, WIDTH, initialised
from ..small_corpus import copy_corpus
from . import accuracy, accuracy_encoders, step_log
from .accuracy_cells import STEP_LOG, Cell, list_cells
from .accuracy_data import DATA_SETS
from .accuracy_encoders import Encoder, in_language, open_encoder
from .accuracy_rows import ROWS
from .accuracy_runs import Failed, Finished, Job, measure, write_json
from .accuracy_table import render, summarise, write_table

ROOT = Path(__file__).parents[2]

#: Examples of each part of the corpus.
N_EXAMPLES = 60


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts of the project that cells need, small data, and an encoder."""
    folder = tmp_path_factory.mktemp("template")
    for name in ("configs", "tests/benchmarks/configs"):
        shutil.copytree(ROOT / name, folder / name)
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
    name = ROWS[row].encoder
    encoder = None if name is None else open_encoder(name, Path("encoder"))
    return Cell(
        **{
            "data_set": DATA_SETS["wnut17"],
            "row": ROWS[row],
            "encoder": encoder,
            "limit": 0,
            "seed": 0,
            "steps": 4,
            **settings,
        }
    )


def run_in_process(cell: Cell) -> dict[str, Any]:
    """What its commands do, without the start of a process for each."""
    *training, (name, model, data, option, output) = cell.job().commands.values()
    for _, config, *rest in training:
        options = dict(zip(rest[0:4:2], rest[1:4:2], strict=True))
        assert list(options) == ["--output", "--code"]
        overrides = parse_config_overrides(rest[4:])
        train(Path(config), Path(options["--output"]), overrides=overrides)
    assert (name, option) == ("evaluate", "--output")
    evaluate(model, Path(data), Path(output))
    return measure(cell.job(), dict.fromkeys(cell.job().commands, Finished(0.0, 0.0)))


@pytest.mark.parametrize(
    "row",
    ["hashembedcnn", "minilm-finetuned", "minilm-frozen", "bilm-cached", "minilm-stacked"],
)
def test_the_commands_of_a_cell(row: str, project: Path) -> None:
    cell = make_cell(row, limit=60, seed=3, steps=2)
    result = run_in_process(cell)
    assert 0 <= result["score"] <= 1
    assert [step for step, _ in result["dev"]] == [0, 1, 2]
    assert (cell.folder / "cache").exists() == (row in ("bilm-cached", "minilm-stacked"))
    config = load_config(cell.folder / "model-best" / "config.cfg").interpolate()
    assert config["training"]["seed"] == 3
    is_frozen = row in ("minilm-frozen", "bilm-cached", "minilm-stacked")
    assert config["training"]["frozen_components"] == (["ctxemb"] if is_frozen else [])
    if row == "hashembedcnn":
        return
    files = [
        p / "ctxemb/model/encoder.safetensors"
        for p in (Path("encoder"), cell.folder / "model-last")
    ]
    assert (files[0].read_bytes() == files[1].read_bytes()) == is_frozen


def test_of_a_published_model_the_head_is_trained_first(project: Path) -> None:
    commands = make_cell("minilm-finetuned").job().commands
    assert list(commands) == ["head", "train", "evaluate"]
    assert commands["head"][1] == "tests/benchmarks/configs/source.cfg"
    assert '["ctxemb"]' in commands["head"]
    assert commands["train"][1] == "configs/ner_further.cfg"
    head = commands["head"][commands["head"].index("--output") + 1]
    source = commands["train"][commands["train"].index("--paths.pipeline") + 1]
    assert source == f"{head}/model-best"
    weights = Encoder("bilm", Path("w.bin"), "bilm", None, 256, 256)
    cell = make_cell("bilm-finetuned", encoder=weights)
    assert list(cell.job().commands) == ["train", "evaluate"]


def test_seeds_are_for_the_headline_and_limits_for_all() -> None:
    data_sets = [DATA_SETS["wnut17"], DATA_SETS["ag_news"]]
    rows = [ROWS["hashembedcnn"], ROWS["bilm-frozen"], ROWS["minilm-frozen"]]
    encoders = {"bilm": Encoder("bilm", Path("w.bin"), "bilm", None, 256, 256)}
    settings = {"limits": [100, 0], "seeds": [1, 2], "headline": ["hashembedcnn"], "steps": 7}
    cells = list(list_cells(data_sets, rows, encoders, **settings))
    names = [cell.name for cell in cells]
    assert names[:6] == [
        "wnut17/hashembedcnn-100-seed1",
        "wnut17/hashembedcnn-100-seed2",
        "wnut17/bilm-frozen-100-seed1",
        "wnut17/hashembedcnn-seed1",
        "wnut17/hashembedcnn-seed2",
        "wnut17/bilm-frozen-seed1",
    ]
    assert len(names) == len(set(names)) == 12  # no row without its encoder
    assert {cell.recipe.steps for cell in cells} == {7}


def test_few_examples_take_fewer_steps() -> None:
    cell = Cell(DATA_SETS["ag_news"], ROWS["hashembedcnn"], None, 0, 0)
    steps = {limit: cell._replace(limit=limit).recipe.steps for limit in (0, 100, 500, 9000)}
    assert steps == {0: 2000, 100: 200, 500: 500, 9000: 2000}
    assert cell._replace(limit=100, steps=7).recipe.steps == 7


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("data_set", DATA_SETS)
def test_every_cell_has_configs_and_recipes(data_set: str, row: str) -> None:
    name = ROWS[row].encoder
    kinds = {"minilm": ["source"], None: [""]}.get(name, [name or "", "source"])
    for kind in kinds:
        encoder = name and Encoder(name, Path("w"), kind, None, 8, 8)
        job = Cell(DATA_SETS[data_set], ROWS[row], encoder or None, 0, 0).job()
        assert all((ROOT / path).exists() for path in job.inputs if path.suffix == ".cfg")
        assert job.about["steps"] > 0


# Encoders


def test_an_encoder_is_weights_or_a_pipeline(project: Path) -> None:
    Path("model-last.bin").write_bytes(b"")
    weights = open_encoder("bilm", Path("model-last.bin"))
    assert (weights.config, weights.width, weights.encoder_width) == ("bilm", 256, 256)
    assert dict(weights.settings("x")) == {"paths.init_tok2vec": Path("model-last.bin")}
    initialised({**BILM, "width": 5}).to_disk("narrow")
    pipeline = open_encoder("bilm", Path("narrow"))
    assert (pipeline.config, pipeline.width, pipeline.encoder_width) == ("source", 5, WIDTH)
    assert dict(pipeline.settings("x")) == {"paths.encoder": Path("narrow"), "x.width": 5}


def test_an_encoder_serves_another_language(project: Path) -> None:
    encoder = open_encoder("minilm", Path("encoder"))
    assert in_language(encoder, "en") == encoder
    dutch = in_language(encoder, "nl")
    assert dutch.pipeline == Path("training/benchmark/encoders/minilm-nl")
    (made,) = dutch.pipeline.parent.iterdir()
    inode = made.stat().st_ino
    in_language.cache_clear()
    assert in_language(encoder, "nl") == dutch
    assert made.stat().st_ino == inode  # it is left alone while it is right
    with (encoder.pipeline / "meta.json").open("a") as file:
        file.write(" ")
    in_language.cache_clear()
    assert in_language(encoder, "nl") == dutch
    assert (made / "meta.json").read_bytes() == Path("encoder/meta.json").read_bytes()
    data_set = DATA_SETS["wnut17"]._replace(lang="nl")
    run_in_process(make_cell("minilm-frozen", encoder=dutch, data_set=data_set, steps=2))
    files = [p / "ctxemb/model/encoder.safetensors" for p in (Path("encoder"), dutch.pipeline)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_model_that_is_no_pipeline_is_imported(tmp_path: Path) -> None:
    ((ctxemb, command, kind, source, output, option),) = accuracy_encoders.list_import(
        "minilm", tmp_path
    )
    assert (ctxemb, command, kind, source) == ("ctxemb", "import", "bert", str(tmp_path))
    assert (output, option) == ("training/benchmark/encoders/minilm", "--no-pooling")
    (tmp_path / "meta.json").write_text("{}", encoding="utf8")
    assert accuracy_encoders.list_import("minilm", tmp_path) == []


def test_rows_without_an_encoder_are_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accuracy, "find_minilm", lambda: None)
    assert accuracy.prepare_encoders({"bilm": "no.bin", "minilm": ""}, {"bilm", "minilm"}) == {}
    assert capsys.readouterr().err.splitlines() == [
        "no.bin is missing: rows bilm-... are left out",
        "--minilm was not given: rows minilm-... are left out",
    ]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SystemExit, match=r"--rows: no \['minlm'\]; there are \['hashembedcnn'"):
        accuracy.pick(ROWS, "minlm,hashembedcnn", "rows")


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
    cell = make_cell("hashembedcnn", steps=8)
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
        **{"steps": 5, "batch": 400, "rate": 0.1, "threads": 1, "metric": "ents_f"},
        **dict.fromkeys(names, 1.0),
        **figures,
        **{"commands": {"train": f"train {row} {seed}", "evaluate": "evaluate"}},
        **settings,
    }


def test_a_row_is_the_mean_over_seeds() -> None:
    scores = {2: 0.3, 0: 0.1, 1: 0.5}
    results = [make_result("hashembedcnn", seed, score) for seed, score in scores.items()]
    (row,) = summarise(results)
    assert row["seeds"] == [0, 1, 2]
    assert (row["score"], row["spread"]) == (30.0, 20.0)
    assert row["train_words_per_second"] == 20.0
    assert row["commands"]["train"] == "train hashembedcnn 0"


def test_the_order_is_that_of_the_cells_with_few_examples_first() -> None:
    results = [
        make_result("minilm-frozen", 0, 0.5),
        make_result("hashembedcnn", 0, 0.4, data_set="ag_news", metric="cats_micro_f"),
        make_result("hashembedcnn", 0, 0.4),
        make_result("minilm-frozen", 0, 0.2, limit=100),
        make_result("hashembedcnn", 0, 0.3, steps=9),
    ]
    rows = [(r["data_set"], r["limit"], r["row"], r["steps"]) for r in summarise(results)]
    assert rows == [
        ("wnut17", 100, "minilm-frozen", 5),
        ("wnut17", 0, "hashembedcnn", 5),
        ("wnut17", 0, "hashembedcnn", 9),
        ("wnut17", 0, "minilm-frozen", 5),
        ("ag_news", 0, "hashembedcnn", 5),
    ]
    text = render(summarise(results))
    assert text.index("## wnut17: 100 training examples") < text.index("## wnut17: all training")
    assert "| row | accuracy | seeds |" in text[text.index("## ag_news") :]
    assert "| minilm-frozen | 50.0 | 1 | 5 | 1,000 | 10 | 20 | 1 | 1 | 1 | 1.0 |" in text


def test_the_table_is_written_beside_the_cells(tmp_path: Path) -> None:
    cell = tmp_path / "cells" / "wnut17" / "hashembedcnn-seed0.json"
    cell.parent.mkdir(parents=True)
    cell.write_text(json.dumps(make_result("hashembedcnn", 0, 0.5)), encoding="utf8")
    (cell.parent / "other.json.tmp7").write_text("{", encoding="utf8")
    (row,) = write_table(tmp_path)
    assert json.loads((tmp_path / "table.json").read_text(encoding="utf8")) == [row]
    assert "| hashembedcnn | 50.0 | 1 |" in (tmp_path / "table.md").read_text(encoding="utf8")
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
        if path.stem == "hashembedcnn-seed1" and len(calls) < 5:
            raise Failed("exit code 3")
        found = {**make_result(job.about["row"], job.about["seed"], 0.5), "threads": threads}
        write_json(path, found)
        return True

    monkeypatch.setattr(accuracy, "run_job", run_job)
    monkeypatch.setattr(accuracy, "run_once", lambda *arguments: None)
    (project / "data" / "ner" / "wnut17").mkdir(parents=True)
    options = ["--data", "data", "--rows", "hashembedcnn,bilm-frozen", "--bilm", "encoder"]
    options += ["--seeds", "0,1,2", "--headline", "hashembedcnn", "--output", "out"]
    first = invoke(*options)
    assert first.exit_code == 1
    assert calls == [*(f"hashembedcnn-seed{seed}" for seed in range(3)), "bilm-frozen-seed0"]
    assert "| hashembedcnn | 50.0 ± 0.0 | 2 |" in Path("out/table.md").read_text(encoding="utf8")
    assert invoke(*options).exit_code == 0
    assert "| hashembedcnn | 50.0 ± 0.0 | 3 |" in Path("out/table.md").read_text(encoding="utf8")
    assert len(calls) == 8


def test_the_table_alone_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "run_cells", None)
    write_json(tmp_path / "cells/wnut17/a.json", make_result("hashembedcnn", 0, 0.5))
    assert invoke("--table", "--output", str(tmp_path)).exit_code == 0
    assert (tmp_path / "table.md").exists()
