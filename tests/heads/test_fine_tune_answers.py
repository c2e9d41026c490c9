"""Training on questions with answers."""

import copy
from pathlib import Path

import pytest
import torch
from spacy.language import Language

from spacy_ctxemb.heads.fine_tune_answers import find_targets, fine_tune
from spacy_ctxemb.heads.question_answering import QuestionAnswering
from spacy_ctxemb.heads.squad import Gold, Question, score_answers

from ..bert_models import FAMILIES
from .published import build_pipeline

TEXT = "Ada lived in Oslo. Grace worked in Lima for years, and the river was cold."
QUESTIONS = [
    Question(str(i), 0, text, TEXT, [Gold(answer, TEXT.index(answer))] if answer else [])
    for i, (text, answer) in enumerate(
        [
            ("Where did Ada live?", "Oslo"),
            ("Where did Grace work?", "Lima"),
            ("What was cold?", "the river"),
            ("Who was late?", ""),
        ]
    )
]


def build(folder: Path = FAMILIES / "bert") -> tuple[Language, QuestionAnswering]:
    nlp = build_pipeline(folder)
    pipe = nlp.add_pipe("ctxemb_qa")
    assert isinstance(pipe, QuestionAnswering)
    return nlp, pipe


def test_answers_are_learned_by_heart() -> None:
    nlp, pipe = build()
    pipe.shim.embedder.encoder.set_dropout(0.0)
    losses: list[float] = []
    fine_tune(
        pipe,
        QUESTIONS,
        n_epochs=150,
        batch_size=4,
        learn_rate=1e-2,
        log=lambda step, loss: losses.append(loss),
    )
    assert len(losses) == 150 and losses[-1] < 0.5 < losses[0]
    doc = nlp.make_doc(TEXT)
    found = [pipe.answer(one.text, doc, 1, no_answer_threshold=0.0) for one in QUESTIONS]
    pairs = [
        (spans[0].text if spans else "", [gold.text for gold in one.answers])
        for spans, one in zip(found, QUESTIONS, strict=True)
    ]
    assert score_answers(pairs)["exact"] == 1.0


def test_the_seed_decides() -> None:
    heads = []
    for seed in (1, 1, 2):
        _, pipe = build()
        before = torch.get_rng_state()
        fine_tune(pipe, QUESTIONS, n_epochs=2, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        heads.append(pipe.get_tensors()["output.weight"])
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


class Interrupted(Exception):
    """As by the keyboard."""


@pytest.mark.parametrize("place", ["log", "backward"])
def test_predictions_between_steps(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While training goes on, and after it was interrupted, there is no dropout, and the weights
    are those of the last step."""
    nlp, pipe = build()
    found: list[float] = []

    def ask() -> float:
        return pipe.find_answers("Where did Ada live?", TEXT, 1).found[0].score

    def log(step: int, loss: float) -> None:
        found.append(ask())
        assert ask() == found[-1]
        assert copy.deepcopy(nlp).get_pipe("ctxemb_qa").find_answers(  # type: ignore[attr-defined]
            "Where did Ada live?", TEXT, 1
        ).found[0].score == pytest.approx(found[-1], rel=1e-4)
        if step == 1 and place == "log":
            raise Interrupted
        if step == 1:
            monkeypatch.setattr(torch.Tensor, "backward", fail)

    def fail(*args: object) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        fine_tune(pipe, QUESTIONS, n_epochs=3, batch_size=1, learn_rate=1e-2, log=log)
    assert pipe.head is not None and not pipe.head.training
    assert found[0] != found[1] == ask() == ask()


@pytest.mark.parametrize("longest, overlap", [(384, 128), (24, 8)])
def test_targets_spell_the_answers(longest: int, overlap: int) -> None:
    _, pipe = build()
    pipe.max_length, pipe.overlap = longest, overlap
    tokenizer = pipe.shim.pieces.tokenizer
    for question in QUESTIONS:
        spelt = {
            tokenizer.decode(window[0, start : end + 1].tolist(), skip_special_tokens=False)
            for window, (start, end) in find_targets(pipe, question)
        }
        answer = {gold.text.lower() for gold in question.answers}
        assert answer <= spelt <= answer | {"[CLS]"}
