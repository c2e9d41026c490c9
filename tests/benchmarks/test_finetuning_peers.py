"""Both programs are asked for the same training."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from spacy.cli._util import parse_config_overrides
from spacy.util import load_config

from . import finetuning_jobs as jobs
from . import finetuning_peers as peers
from .accuracy_data import DATA_SETS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("configs", "tests/benchmarks/configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)


def read_config(program: str, name: str) -> dict[str, Any]:
    """The config of a program with the overrides of its command."""
    settings = {"system.seed": 3, "training.max_steps": 7, "corpora.train.limit": 50}
    job = jobs.make_job(program, DATA_SETS[name], Path("checkpoint"), settings)
    command = job.commands["train"]
    overrides = parse_config_overrides(command[command.index("--code") + 2 :])
    return load_config(Path(command[1]), overrides=overrides).interpolate()


@pytest.mark.parametrize("name", ["wnut17", "ag_news"])
def test_the_configs_differ_in_the_encoder_alone(name: str) -> None:
    ours, theirs = (read_config(program, name) for program in (jobs.OURS, jobs.THEIRS))
    task = DATA_SETS[name].task
    assert ours.pop("nlp")["pipeline"] == ["ctxemb", task]
    assert theirs.pop("nlp")["pipeline"] == ["transformer", task]
    listeners = [c["components"][task]["model"].pop("tok2vec") for c in (ours, theirs)]
    assert listeners[0]["@architectures"] == "spacy.Tok2VecListener.v1"
    assert listeners[1]["@architectures"] == "spacy-transformers.TransformerListener.v1"
    assert listeners[1]["pooling"] == {"@layers": "reduce_mean.v1"}
    assert ours["components"].pop("ctxemb") == {"source": ours["paths"].pop("encoder")}
    model = theirs["components"].pop("transformer")["model"]
    assert model["name"] == theirs["paths"].pop("encoder") == "checkpoint"
    logs = [config["paths"].pop("log") for config in (ours, theirs)]
    assert logs == [
        f"training/benchmark/peers/{name}/{program}-seed3/steps.jsonl"
        for program in (jobs.OURS, jobs.THEIRS)
    ]
    for config in (ours, theirs):
        config["training"]["logger"].pop("output_file")
    assert ours == theirs
    head = ours["initialize"].get("after_init")
    assert (head is not None) == (task == "ner")  # the same for both
    assert (ours["training"]["seed"], ours["training"]["max_steps"]) == (3, 7)
    optimizer = ours["training"]["optimizer"]
    assert (optimizer["L2"], optimizer["grad_clip"], optimizer["use_averages"]) == (0, 0, False)
    assert optimizer["learn_rate"]["total_steps"] == 7


def test_the_table_is_over_seeds() -> None:
    figures = {key: 10.0 for _, key in peers.COLUMNS}
    cells = [
        {
            "data_set": "wnut17",
            "program": program,
            "seed": seed,
            "score": score,
            **figures,
            "commands": {"train": program},
        }
        for program, scores in ((jobs.OURS, (0.5, 0.6)), (jobs.THEIRS, (0.4, 0.4)))
        for seed, score in enumerate(scores)
    ]
    ours, theirs = peers.summarise(cells)
    assert (ours["score"], ours["spread"], ours["seeds"]) == (55.0, 7.07, [0, 1])
    assert (theirs["score"], theirs["spread"]) == (40.0, 0.0)
    assert "| wnut17 | spacy-ctxemb | 55.0 ± 7.1 | 10 |" in peers.render([ours, theirs])
