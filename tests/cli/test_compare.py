"""`python -m spacy ctxemb compare`"""

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


def test_each_corpus_trains_its_component(project: Path, tmp_path: Path) -> None:
    config = f"--config=small={project / 'tiny.cfg'}"
    output = compare(project, tmp_path / "out", config, "--labels", "2,0", "--seeds", "0,1")
    results = read_results(tmp_path / "out")
    assert len(results) == 8
    assert {(r["corpus"], r["metric"]) for r in results.values()} == {
        ("ner", "ents_f"),
        ("textcat", "cats_score"),
    }
    found = results["ner-2-small-1"]
    assert (found["n_examples"], found["n_labelled"], found["seed"]) == (2, 2, 1)
    assert [row["step"] for row in found["log"]] == [0, 1, 2]
    assert 0 <= found["score"] <= 1 and "speed" not in found["scores"]
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf8")
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


def test_several_workers_find_what_one_finds(project: Path, tmp_path: Path) -> None:
    scores = []
    for workers in ("1", "2"):
        output = tmp_path / workers
        config = f"--config=small={project / 'tiny.cfg'}"
        compare(project, output, config, "--seeds", "0", "--workers", workers)
        scores.append({name: row["scores"] for name, row in read_results(output).items()})
    assert scores[0] == scores[1] and len(scores[0]) == 2


def test_paths_of_other_configs_are_passed_over(project: Path, tmp_path: Path) -> None:
    config = f"--config=small={project / 'tiny.cfg'}"
    compare(project, tmp_path / "out", config, "--seeds", "0", "--paths.cache", "unknown")
    assert len(read_results(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    "options, message",
    [
        (["--config", "small"], r"[E514] 'small' is not NAME=PATH"),
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
