"""Questions with answers in the format of SQuAD, on Docs and in files, and the scores of its
official script.

Source: Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD", and
`evaluate-v2.0.py` beside its data.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ..errors import Errors
from ..read_files import coding_errors, read_bytes

ARTICLES = re.compile(r"\b(a|an|the)\b")

#: The questions about a Doc, as SQuAD has them in "qas": doc._.ctxemb_questions.
QUESTIONS = "ctxemb_questions"

if not Doc.has_extension(QUESTIONS):
    Doc.set_extension(QUESTIONS, default=None)


class Gold(NamedTuple):
    """The text of an answer, and the character it begins with."""

    text: str
    start: int


class Question(NamedTuple):
    """A question about a text, and its answers; none where the text does not say it."""

    text: str
    answers: list[Gold]


def read_questions(doc: Doc) -> list[Question]:
    """The questions in doc._.ctxemb_questions.

    Raises E622 where these have another form, E623 for an answer that the text does not have.
    """
    found = doc._.get(QUESTIONS)
    try:
        questions = [read_question(one) for one in (() if found is None else found)]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(Errors.E622.format(found=repr(found)[:200])) from error
    for question in questions:
        for answer in question.answers:
            there = doc.text[max(answer.start, 0) :][: len(answer.text)]
            if there != answer.text or answer.start < 0:
                found = {"question": question.text, "answer": answer.text, "start": answer.start}
                raise ValueError(Errors.E623.format(**found, there=there))
    return questions


def read_question(qa: Any) -> Question:
    """qa: an object of SQuAD's "qas". Raises KeyError, TypeError or ValueError for another one."""
    question = Question(
        qa["question"], [Gold(a["text"], int(a["answer_start"])) for a in qa["answers"]]
    )
    for text in (question.text, *(answer.text for answer in question.answers)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(text)
    return question


def read_squad(path: Path, make_doc: Callable[[str], Doc]) -> Iterator[list[Doc]]:
    """The questions of one article after the other in a JSON file, of version 1 or 2: for each a
    Doc of its paragraph, so that batches of Docs mix questions as they mix texts.

    Raises E385 for a file of another kind, E623 for an answer that is not in its text.

    for docs in read_squad(Path("xquad.en.json"), nlp.make_doc): ...
    """
    import srsly

    with coding_errors(Errors.E385, path=path):
        texts = [
            [(str(one["context"]), [simplify(qa) for qa in one["qas"]]) for one in paragraphs]
            for paragraphs in (
                article["paragraphs"] for article in srsly.json_loads(read_bytes(path))["data"]
            )
        ]
    return (
        [attach(make_doc(text), qa) for text, qas in article for qa in qas] for article in texts
    )


def simplify(qa: Any) -> dict[str, Any]:
    """What counts of an object of "qas"."""
    question = read_question(qa)
    answers = [{"text": text, "answer_start": start} for text, start in question.answers]
    return {"id": str(qa["id"]), "question": question.text, "answers": answers}


def attach(doc: Doc, qa: dict[str, Any]) -> Doc:
    doc._.set(QUESTIONS, [qa])
    read_questions(doc)
    return doc


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
