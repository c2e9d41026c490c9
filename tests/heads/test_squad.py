"""Reading SQuAD's format, and the rules of its official script."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.attrs import ORTH
from spacy.tokens import DocBin

from spacy_ctxemb.heads.squad import (
    compute_f1,
    normalise,
    read_questions,
    read_squad,
    score_answers,
)

from ..cli.command import run, run_well


@pytest.mark.parametrize(
    "text, expected",
    [
        ("The  Bank,\tof a River!", "bank of river"),
        ("an apple", "apple"),
        ("theatre", "theatre"),
        ("U.S.A.", "usa"),
        ("the", ""),
        ("«naïve»", "«naïve»"),
        ("a-b", "ab"),
    ],
)
def test_normalised_answers(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "found, gold, expected",
    [
        ("the cat", "cat", 1.0),
        ("cat sat", "cat", 2 / 3),
        ("cat cat", "cat", 2 / 3),
        ("dog", "cat", 0.0),
        ("", "", 1.0),
        ("", "cat", 0.0),
        ("cat", "", 0.0),
        ("the", "", 1.0),
    ],
)
def test_f1_of_words(found: str, gold: str, expected: float) -> None:
    assert compute_f1(found, gold) == pytest.approx(expected)


@pytest.mark.parametrize(
    "found, right, exact, f1",
    [
        ("river bank", ["bank", "the river bank"], 1.0, 1.0),
        ("river bank", ["bank", "river"], 0.0, 2 / 3),
        ("", [], 1.0, 1.0),
        ("bank", [], 0.0, 0.0),
        ("", ["the"], 1.0, 1.0),
        ("", ["bank"], 0.0, 0.0),
    ],
)
def test_the_best_of_several_answers(found: str, right: list[str], exact: float, f1: float) -> None:
    assert score_answers([(found, right)]) == {"exact": exact, "f1": pytest.approx(f1)}


def test_means() -> None:
    scores = score_answers([("a", ["a b"]), ("c", ["c"]), ("", ["d"]), ("", [])])
    assert scores == {"exact": 0.5, "f1": 0.5}
    assert score_answers([]) == {"exact": 0.0, "f1": 0.0}


def write(folder: Path, answer_start: int = 0) -> Path:
    answers = [{"text": "Ada", "answer_start": answer_start}]
    qas = [
        {"id": 7, "question": "Who?", "answers": answers},
        {"id": "x", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    article = {"title": "t", "paragraphs": [{"context": "Ada ran.", "qas": qas}]}
    path = folder / "squad.json"
    path.write_text(json.dumps({"version": "v2.0", "data": [article]}))
    return path


def test_files(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    (docs,) = read_squad(write(tmp_path), nlp.make_doc)
    assert [doc.text for doc in docs] == ["Ada ran.", "Ada ran."]
    assert [[one["id"] for one in doc._.ctxemb_questions] for doc in docs] == [["7"], ["x"]]
    questions = [read_questions(doc) for doc in docs]
    assert questions == [[("Who?", [("Ada", 0)])], [("Why?", [])]]
    stored = DocBin(docs=docs, store_user_data=True).to_bytes()
    again = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    assert [read_questions(doc) for doc in again] == questions


def test_one_article_after_the_other(tmp_path: Path) -> None:
    """A large file has not all of its Docs in memory."""
    path, made = write(tmp_path), list[str]()
    data = json.loads(path.read_text())["data"]
    path.write_text(json.dumps({"data": data * 3}))
    nlp = spacy.blank("en")
    articles = read_squad(path, lambda text: made.append(text) or nlp.make_doc(text))
    assert not made and len(next(articles)) == len(made) == 2


def test_any_pipeline_knows_questions() -> None:
    """Without an import of this package, and before it has the component."""
    code = "import spacy; spacy.blank('en')('Ada')._.ctxemb_questions = []"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_docs_on_disk(tmp_path: Path) -> None:
    path = write(tmp_path)
    run_well("convert-squad", path, tmp_path / "train.spacy", "--lang", "de")
    stored = DocBin().from_disk(tmp_path / "train.spacy")
    assert stored.attrs == [ORTH]  # and spaces: there are no annotations of tokens
    docs = list(stored.get_docs(spacy.blank("de").vocab))
    assert [len(read_questions(doc)) for doc in docs] == [1, 1]
    assert [[token.text for token in doc] for doc in docs] == [["Ada", "ran", "."]] * 2
    code, output = run("convert-squad", path, tmp_path / "train.spacy")
    assert code == 1 and "train.spacy" in output and "--force" in output
    run_well("convert-squad", path, tmp_path / "train.spacy", "--force")


def test_an_answer_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[E623\] .*'Ada' to 'Who\?' .*character 2 .*'a r'"):
        list(read_squad(write(tmp_path, 2), spacy.blank("en").make_doc))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"data": [{}]}', '{"data": 3}'])
def test_files_of_another_kind(text: str, tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"\[E385\] .*squad.json cannot be read"):
        read_squad(path, spacy.blank("en").make_doc)
