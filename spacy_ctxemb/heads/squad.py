"""Questions with answers in the format of SQuAD, and the scores of its official script.

Source: Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD", and
`evaluate-v2.0.py` beside its data.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..errors import Errors
from ..read_files import coding_errors, read_bytes

ARTICLES = re.compile(r"\b(a|an|the)\b")


class Gold(NamedTuple):
    """The text of an answer, and the character it begins with."""

    text: str
    start: int


class Question(NamedTuple):
    """A question about a text, and its answers; none where the text does not say it.

    article: the number of the article that the text is from.
    """

    id: str
    article: int
    text: str
    context: str
    answers: list[Gold]


def read_squad(path: Path) -> list[Question]:
    """The questions in a JSON file, of version 1 or 2. Raises E385 for a file of another kind.

    questions = read_squad(Path("xquad.en.json"))
    """
    import srsly

    with coding_errors(Errors.E385, path=path):
        return [
            Question(
                str(qa["id"]),
                i,
                str(qa["question"]),
                str(paragraph["context"]),
                [Gold(str(a["text"]), int(a["answer_start"])) for a in qa["answers"]],
            )
            for i, article in enumerate(srsly.json_loads(read_bytes(path))["data"])
            for paragraph in article["paragraphs"]
            for qa in paragraph["qas"]
        ]


def score_answers(pairs: Iterable[tuple[str, list[str]]]) -> dict[str, float]:
    """Means of exact matches and of F1, between 0 and 1.

    pairs: of each question what was answered, "" for no answer, and all texts that are right, none
        for no answer.

        score_answers([("the bank", ["Bank"]), ("", [])])  # {"exact": 1.0, "f1": 1.0}
    """
    exact, f1, n = 0.0, 0.0, 0
    for found, right in pairs:
        golds = [gold for gold in right if normalise(gold)] or [""]
        exact += max(float(normalise(found) == normalise(gold)) for gold in golds)
        f1 += max(compute_f1(found, gold) for gold in golds)
        n += 1
    return {"exact": exact / max(n, 1), "f1": f1 / max(n, 1)}


def normalise(text: str) -> str:
    """In lower case, without punctuation, articles and more than one space at a time."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(ARTICLES.sub(" ", kept).split())


def compute_f1(found: str, gold: str) -> float:
    """Of the words that both have; where one has none, whether neither has."""
    words, expected = normalise(found).split(), normalise(gold).split()
    if not words or not expected:
        return float(words == expected)
    n_same = sum((Counter(words) & Counter(expected)).values())
    return 2 * n_same / (len(words) + len(expected))
