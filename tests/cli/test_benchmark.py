"""`python -m spacy ctxemb benchmark`"""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly

from spacy_ctxemb.benchmark import measure
from spacy_ctxemb.benchmark.worker import Worker

from ..pipelines import BILM, TRANSFORMER, initialised, with_ner
from .command import run, run_well


class Here:
    """Measures in this process, in place of another one."""

    def __init__(self, pipeline: str, precision: str, texts: list[str]) -> None:
        self.worker, self.pool = Worker(pipeline, precision, texts), nullcontext()

    def call(self, name: str, *arguments: Any) -> Any:
        return getattr(self.worker, name)(*arguments)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "Caller", Here)
    monkeypatch.setattr(measure, "count_cores", lambda: 1)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text(
        "Otters sleep.\nWe met on the bank.\n\nOtters sleep.\nMoney.\n", encoding="utf8"
    )
    return path


@pytest.mark.usefixtures("here")
def test_tables_files_and_lines_to_paste(texts: Path, tmp_path: Path) -> None:
    cache = {"@misc": "spacy-ctxemb.FeatureCache.v1"}
    with_ner(BILM, cache=cache).to_disk(tmp_path / "nlp")
    files: list[str | Path] = ["--json", tmp_path / "out.json"]
    files += ["--plot", tmp_path / "out.png"]
    output = run_well("benchmark", tmp_path / "nlp", texts, "--seconds", "1", *files)
    assert "precision threads batch_size n_process words/s range of limit" in output
    assert "precision threads p50 ms p95 ms p99 ms" in output and "mean cosine" in output
    assert "The cache knew 0% of the texts, and 100% in a second pass" in output
    assert "# in these sections of config.cfg [nlp] batch_size = " in output
    found = srsly.read_json(tmp_path / "out.json")
    assert set(found["cosines"]) == {"fp32", "bf16"} and found["cosines"]["fp32"] > 0.9999
    assert found["recommended"]["precision"] in found["cosines"]
    assert found["operations"] > 0 and found["megabytes"]["fp32"] > 10
    assert all(min(one["words"]) > 0 for one in found["settings"])
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    code, output = run("benchmark", tmp_path / "nlp", *files)
    assert code == 1 and "E510" in output


@pytest.mark.slow
def test_in_processes(texts: Path, tmp_path: Path) -> None:
    initialised(TRANSFORMER).to_disk(tmp_path / "nlp")
    files: list[str | Path] = ["--json", tmp_path / "out.json"]
    files += ["--plot", tmp_path / "out.svg"]
    run_well("benchmark", tmp_path / "nlp", texts, "--seconds", "2", *files)
    found = srsly.read_json(tmp_path / "out.json")
    assert set(found["cosines"]) == {"fp32", "medium", "bf16", "int8"}
    assert "<svg" in (tmp_path / "out.svg").read_text(encoding="utf8")


@pytest.mark.slow
def test_a_process_that_ends() -> None:
    caller = measure.Caller("no/such/pipeline", "fp32", [])
    with caller.pool, pytest.raises(RuntimeError, match=r"\[E851\] The process that measures fp32"):
        caller.call("measure_memory")


@pytest.mark.parametrize(
    "options, code",
    [
        (["--least-cosine", "1.5"], "E854"),
        (["--plot", "speed.pdf"], "E852"),
        (["--plot", "speed"], "E852"),
    ],
)
def test_options_that_cannot_be(options: list[str], code: str, tmp_path: Path) -> None:
    status, output = run("benchmark", tmp_path, *options)
    assert status == 1 and code in output


def test_no_texts(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n \n", encoding="utf8")
    code, output = run("benchmark", tmp_path, tmp_path / "texts.txt")
    assert code == 1 and "E853" in output


def test_no_encoder(tmp_path: Path) -> None:

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "nlp")
    code, output = run("benchmark", tmp_path / "nlp")
    assert code == 1 and "E850" in output and "sentencizer" in output


def test_a_plot_needs_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = sys.modules["spacy_ctxemb.cli.benchmark"]  # beside it is a function of that name
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    code, output = run("benchmark", tmp_path, "--plot", tmp_path / "speed.png")
    assert code == 1 and "E523" in output and "spacy-ctxemb[project]" in output
