"""`ctxemb explain` writes what the Python function finds."""

import json
from pathlib import Path

import pytest

from ..explanation.pipelines import TEXT, build_heads
from .command import run, run_well


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipelines") / "heads"
    build_heads("transformer").to_disk(path)
    return path


def test_a_page(pipeline: Path, tmp_path: Path) -> None:
    page, corpus = tmp_path / "page.html", tmp_path / "corpus.jsonl"
    rows = ["Lima is warm.", "Oslo and Lima.", "She left Lima."]
    corpus.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    words = ("--word", "Lima", "--corpus", corpus, "--label", "nature", "--attention")
    output = run_well("explain", pipeline, TEXT, page, *words)
    assert "ctxemb_textcat: nature, score 0." in output and "page.html" in output
    text = page.read_text(encoding="utf8")
    for heading in ("Why nature?", "Layers", "Attention of ctxemb", "Uses of “Lima”"):
        assert heading in text


def test_gradients_of_a_span(pipeline: Path, tmp_path: Path) -> None:
    span = ("--label", "PERSON", "--span", "0", "2", "--no-attention")
    output = run_well(
        "explain", pipeline, TEXT, tmp_path / "a.html", *span, "--method", "gradients"
    )
    assert "ctxemb_ner: PERSON, score" in output
    text = (tmp_path / "a.html").read_text(encoding="utf8")
    assert "Integrated gradients" in text and "Attention" not in text


def test_errors_are_messages_and_leave_nothing(pipeline: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for words, message in (
        (("--label", "x"), "[E732] There is no label 'x'"),
        (("--component", "tagger"), "[E731] There is no component 'tagger'"),
        (("--word", "x"), "[E749] corpus is missing"),
    ):
        code, output = run("explain", pipeline, TEXT, page, *words)
        assert code == 1 and message in output
    code, output = run("explain", pipeline, "", page)
    assert code == 1 and "[E733]" in output
    assert list(tmp_path.iterdir()) == []
    page.write_text("mine")
    code, output = run("explain", pipeline, TEXT, page)
    assert code == 1 and "[E510]" in output and page.read_text() == "mine"
