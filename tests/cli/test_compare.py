"""`python -m spacy ctxemb compare`"""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from ..pipelines import BILM, NER_DATA, TEXTCAT_DATA, examples, listener, ner_config, textcat_config
from .command import run, run_well

CONFIGS = Path(__file__).parents[2] / "configs"
SHORT = ("--training.max_steps", "2", "--training.eval_frequency", "1")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora, and a config with heads for both on a tiny encoder."""
    folder = tmp_path_factory.mktemp("project")
    for task, data in (("ner", NER_DATA), ("textcat", TEXTCAT_DATA)):
        (folder / task).mkdir()
        docs = [eg.reference for eg in examples(spacy.blank("en"), data)]
        for part in ("train", "dev", "test"):
            DocBin(docs=docs).to_disk(folder / task / f"{part}.spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"model": BILM})
    nlp.add_pipe("ner", config=ner_config(listener()))
    nlp.add_pipe("textcat", config=textcat_config(listener()))
    config = nlp.config
    reader = {"@readers": "spacy.Corpus.v1"}
    config["paths"] = dict.fromkeys(("train", "dev", "vectors", "init_tok2vec"))
    config["corpora"] = {p: {**reader, "path": f"${{paths.{p}}}"} for p in ("train", "dev")}
    config.to_disk(folder / "tiny.cfg")
    return folder


def compare(project: Path, output: Path, *options: str) -> str:
    corpora = [f"--corpus={task}={project / task}" for task in ("ner", "textcat")]
    return run_well("compare", output, *corpora, *options, *SHORT)


def read_results(output: Path) -> dict[str, Any]:
    return {path.stem: srsly.read_json(path) for path in output.glob("*.json")}


@pytest.fixture(scope="module")
def compared(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a comparison by two workers, and what was printed."""
    folder = tmp_path_factory.mktemp("compared")
    options = ["--labels", "2,0", "--seeds", "0,1", "--workers", "2"]
    return folder, compare(project, folder, f"--config=small={project / 'tiny.cfg'}", *options)


def test_each_corpus_trains_its_component(compared: tuple[Path, str]) -> None:
    folder, output = compared
    results = read_results(folder)
    assert len(results) == 8
    assert {(r["corpus"], r["metric"]) for r in results.values()} == {
        ("ner", "ents_f"),
        ("textcat", "cats_score"),
    }
    found = results["ner-2-small-1"]
    assert (found["n_examples"], found["n_labelled"], found["seed"]) == (2, 2, 1)
    assert [row["step"] for row in found["log"]] == [0, 1, 2]
    assert 0 <= found["score"] <= 1 and "speed" not in found["scores"]
    table = (folder / "table.md").read_text(encoding="utf8")
    assert table.startswith(
        "|  | ner, 2 examples | ner, all 4 | textcat, 2 examples | textcat, all 4 |"
    )
    assert table.count(" ± ") == 4 and "small" in output


def test_a_second_config_trains_further(project: Path, tmp_path: Path) -> None:
    paths = f"{project / 'tiny.cfg'},{CONFIGS / 'ner_further.cfg'}"
    options = [f"--config=fine-tuned={paths}", f"--corpus=ner={project / 'ner'}", "--seeds", "0"]
    run_well("compare", tmp_path / "out", *options, *SHORT)
    found = read_results(tmp_path / "out")["ner-all-fine-tuned-0"]
    assert [row["step"] for row in found["log"]] == [0, 1, 2, 2, 3, 4]
    (mix,) = found["mixes"]
    assert sum(mix["shares"]) == pytest.approx(1)


def test_one_worker_finds_what_several_find(
    compared: tuple[Path, str], project: Path, tmp_path: Path
) -> None:
    """Here with a path that is for other configs, and is passed over."""
    options = [f"--config=small={project / 'tiny.cfg'}", "--paths.cache", "unknown"]
    compare(project, tmp_path, *options, "--seeds", "0")
    several = read_results(compared[0])
    found = read_results(tmp_path)
    assert found.keys() == {"ner-all-small-0", "textcat-all-small-0"}
    for name, result in found.items():
        assert result["scores"] == several[name]["scores"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_training_that_fails(workers: str, project: Path, tmp_path: Path) -> None:
    """It ends the comparison with its name, and keeps what is finished."""
    config = (project / "tiny.cfg").read_text().replace('factory = "ner"', 'factory = "nerd"')
    (tmp_path / "wrong.cfg").write_text(config)
    configs = [f"--config=small={project / 'tiny.cfg'}", f"--config=wrong={tmp_path / 'wrong.cfg'}"]
    options = [*configs, f"--corpus=ner={project / 'ner'}", "--seeds", "0", "--workers", workers]
    code, output = run("compare", tmp_path / "out", *options, *SHORT)
    assert code == 1
    assert "[E518] The training ner-all-wrong-0 of the comparison failed: [E002]" in output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ner-all-small-0.json"]


def test_a_setting_that_is_not_valid(project: Path, tmp_path: Path) -> None:
    options = [f"--config=a={project / 'tiny.cfg'}", f"--corpus=ner={project / 'ner'}"]
    code, output = run("compare", tmp_path, *options, "--training.max_steps", "many")
    assert code == 1
    assert "[E518] The training ner-all-a-0" in output and "max_steps Input should be" in output


def test_a_worker_that_is_killed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = "spacy_ctxemb.comparison.train_one_run.train"
    monkeypatch.setattr(kill, lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
    options = [f"--config=a={project / 'tiny.cfg'}", f"--corpus=ner={project / 'ner'}"]
    code, output = run("compare", tmp_path, *options, "--workers", "2")
    assert code == 1 and "[E522] One of 2 workers was killed" in output


def test_half_a_result_is_no_result(project: Path, tmp_path: Path) -> None:
    config = f"--config=small={project / 'tiny.cfg'}"
    (tmp_path / "ner-2-small-0.json").write_text('{"fingerprint":')
    options = [config, f"--corpus=ner={project / 'ner'}", "--labels", "2", "--seeds", "0"]
    run_well("compare", tmp_path, *options, *SHORT)
    assert read_results(tmp_path)["ner-2-small-0"]["score"] >= 0


@pytest.mark.parametrize(
    "options, message",
    [
        (["--config", "small"], r"[E514] 'small' is not NAME=PATH"),
        (["--config", "a=x", "--config", "a=y"], "[E514] 'a=y' is not NAME=PATH with a name of"),
        (["--config", "a/b=x"], "[E514] 'a/b=x' is not NAME=PATH with a name of its own, which"),
        (["--config", "a=no.cfg"], "[E513] These files of the comparison are missing: ['no.cfg'"),
        (["--config", "a=no.cfg", "--labels", "few"], "[E515] 'few' is not a list of whole"),
    ],
)
def test_what_cannot_be_compared(
    options: list[str], message: str, project: Path, tmp_path: Path
) -> None:
    code, output = run("compare", tmp_path / "out", f"--corpus=ner={project / 'ner'}", *options)
    assert code == 1 and message in output
    assert not (tmp_path / "out").exists()
