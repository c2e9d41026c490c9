"""Reading SQuAD's format, and the rules of its official script."""

import json
from pathlib import Path

import pytest

from spacy_ctxemb.heads.squad import compute_f1, normalise, read_squad, score_answers


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


def test_files(tmp_path: Path) -> None:
    qas = [
        {"id": 7, "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]},
        {"id": "x", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    article = {"title": "t", "paragraphs": [{"context": "Ada ran.", "qas": qas}]}
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "v2.0", "data": [article]}))
    first, second = read_squad(path)
    assert first == ("7", 0, "Who?", "Ada ran.", [("Ada", 0)])
    assert second.answers == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"data": [{}]}', '{"data": 3}'])
def test_files_of_another_kind(text: str, tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"\[E385\] .*squad.json cannot be read"):
        read_squad(path)
