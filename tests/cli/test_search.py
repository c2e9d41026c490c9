"""`python -m spacy ctxemb index`, `search` and `ask`"""

import json
from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb.cli.print_table import print_table
from spacy_ctxemb.heads.question_answering import QuestionAnswering
from spacy_ctxemb.search import Index

from ..search.index_of_few import TEXTS, build_pipeline
from ..search.test_answers import answer_by
from .command import run, run_well
from .test_encode import pipeline, texts

__all__ = ["pipeline", "texts"]  # fixtures


@pytest.fixture
def index(pipeline: Path, texts: Path, tmp_path: Path) -> Path:
    output = run_well("index", pipeline, texts, tmp_path / "index")
    assert "Indexed 6 passages of 4 texts" in output
    return tmp_path / "index"


def test_search(index: Path) -> None:
    output = run_well("search", index, "They were wet.", "-n", "2")
    assert output.startswith("score source passage ----- ------ ------- 1.000 otters:26-40 They")
    found = json.loads(run_well("search", index, "They were wet.", "--json"))
    assert len(found) == 6
    assert found[0] | {"score": 1.0} == {
        **{"id": "otters", "text": "They were wet.", "start": 26, "end": 40},
        **{"score": 1.0, "label": "", "key": 1},
    }


def test_texts_of_one_vector(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    output = run_well(
        *("index", pipeline, texts, tmp_path / "docs", "--level", "doc", "--dtype", "int8")
    )
    assert "Indexed 3 passages of 4 texts" in output and "Skipped 1 passages" in output
    (found, *_) = json.loads(run_well("search", tmp_path / "docs", TEXTS[1][0], "--json"))
    assert found["id"] == "money" and found["text"] == TEXTS[1][0]


def test_ask(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, message = run("ask", index, "Who was wet?")
    assert code == 1 and "E723" in message and "--reader" in message
    reader = build_pipeline()
    reader.add_pipe("ctxemb_qa")
    reader.to_disk(tmp_path / "reader")
    find: Any = answer_by({"Otters": 0.9})
    monkeypatch.setattr(
        QuestionAnswering, "find_answers", lambda self, question, text, n=3: find(question, text, n)
    )
    output = run_well("ask", index, "Who was wet?", "--reader", tmp_path / "reader")
    assert output.startswith("answer score source passage") and "otters:0-6" in output
    command = ("ask", index, "Who was wet?", "--reader", tmp_path / "reader", "--json")
    (found,) = json.loads(run_well(*command))
    assert (found["text"], found["id"], found["read"]) == ("Otters", "otters", TEXTS[0][0])
    assert found["hit"]["id"] == "otters"


def test_another_pipeline(index: Path, tmp_path: Path) -> None:
    build_pipeline(seed=1).to_disk(tmp_path / "other")
    code, message = run("search", index, "wet", "--pipeline", tmp_path / "other")
    assert code == 1 and "E715" in message


def test_nothing_to_search_in(pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    code, message = run("index", pipeline, tmp_path / "empty.txt", tmp_path / "index")
    assert code == 1 and "E720" in message and not (tmp_path / "index").exists()


def test_folders_that_are_there(index: Path, pipeline: Path, texts: Path, tmp_path: Path) -> None:
    code, message = run("index", pipeline, texts, index)
    assert code == 1 and "E510" in message
    run_well("index", pipeline, texts, index, "--force")
    code, message = run("index", pipeline, texts, tmp_path, "--force")
    assert code == 1 and "E724" in message and texts.exists()
    assert len(Index.load(index)) == 6


@pytest.mark.parametrize("query", ["", " "])
def test_queries_without_a_word(index: Path, query: str) -> None:
    code, message = run("search", index, query)
    assert code == 1 and "E719" in message


def test_tables_fit_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_table(("a", "text"), [("1", "word\n" * 40), ("x" * 99, "short")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and max(map(len, lines)) <= 60
    assert lines[2].endswith("word...") or lines[2].endswith("...")
    assert lines[3].endswith("...  short")
