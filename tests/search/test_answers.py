"""`ask`: what is read, and how answers are put in order."""

from typing import Any

import pytest
from spacy.language import Language

from spacy_ctxemb.heads.read_answers import Answer as Found
from spacy_ctxemb.heads.read_answers import Answers
from spacy_ctxemb.search import Index, ask

from .index_of_few import TEXTS, build_pipeline


@pytest.fixture(scope="module")
def nlp() -> Language:
    nlp = build_pipeline()
    nlp.add_pipe("ctxemb_qa")
    return nlp


@pytest.fixture
def index(nlp: Language) -> Index:
    index = Index(nlp)
    index.add(TEXTS)
    return index


def answer_by(score: dict[str, float]) -> Any:
    """A reader that finds words, with the scores that they have."""

    def find_answers(question: str, text: str, n: int) -> Answers:
        places = [(text.find(word), word) for word in score]
        found = [Found(i, i + len(word), score[word]) for i, word in places if i >= 0]
        return Answers(found[:n], 0.1)

    return find_answers


def test_answers(index: Index, nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        nlp.get_pipe("ctxemb_qa"), "find_answers", answer_by({"wet": 0.9, "river": 0.4})
    )
    answers = ask(index, "Who was wet?", 5)
    known = {id: text for text, id in TEXTS}
    assert {answer.text for answer in answers} == {"wet", "river"}  # once each
    for answer in answers:
        assert known[answer.id][answer.start : answer.end] == answer.text
        assert answer.read == known[answer.id]  # the sentences beside it too
        assert answer.hit.text in answer.read
    assert [x.score for x in answers] == sorted((x.score for x in answers), reverse=True)
    assert ask(index, "Who was wet?", 1) == answers[:1]


def test_a_reader_of_its_own(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = build_pipeline()
    reader.add_pipe("ctxemb_qa")
    monkeypatch.setattr(reader.get_pipe("ctxemb_qa"), "find_answers", answer_by({"loan": 1.0}))
    (answer,) = ask(index, "What was refused?", 1, reader=reader)
    assert (answer.text, answer.id) == ("loan", "money")
    assert answer.score == pytest.approx(answer.hit.score)


def test_nobody_who_reads() -> None:
    index = Index(build_pipeline())
    index.add(TEXTS)
    with pytest.raises(ValueError, match=r"\[E723\].*\['sentencizer', 'ctxemb'\].*--reader"):
        ask(index, "Who?")


def test_a_reader_without_weights(index: Index) -> None:
    with pytest.raises(ValueError, match=r"\[E386\]"):
        ask(index, "Who?")


def test_questions_and_numbers(index: Index) -> None:
    with pytest.raises(ValueError, match=r"\[E719\]"):
        ask(index, " ")
    for settings in ({"n": 0}, {"n_passages": 0}):
        with pytest.raises(ValueError, match=r"\[E721\]"):
            ask(index, "Who?", **settings)


def test_a_head_of_its_own_weights() -> None:
    from ..heads.test_learn_answers import TEXT, build, train

    nlp, _ = build()
    train(nlp, 10)
    nlp.add_pipe("sentencizer", first=True)
    index = Index(nlp)
    index.add([(TEXT, "ada"), *TEXTS])
    known = {id: text for text, id in [*TEXTS, (TEXT, "ada")]}
    answers = ask(index, "Where did Ada live?", 5)
    assert len(answers) == 5
    for answer in answers:
        assert known[answer.id][answer.start : answer.end] == answer.text
        assert 0 <= answer.score <= answer.hit.score + 1e-6


def test_passages_without_a_sentence(nlp: Language) -> None:
    with pytest.raises(ValueError, match=r"\[E727\].*of the level token.*sent or doc"):
        ask(Index(nlp, "token"), "Who was wet?")
