"""Train a model to answer questions on the first articles of a file of SQuAD's format, and score
it on the others.

    python -m tests.benchmarks.question_answering XQUAD_JSON [--epochs 4]

The model is all-MiniLM-L6-v2, which the extra `minilm` installs.
"""

import argparse
import time
from pathlib import Path

import spacy
from spacy.language import Language

from spacy_ctxemb.heads.fine_tune_answers import fine_tune
from spacy_ctxemb.heads.question_answering import QuestionAnswering
from spacy_ctxemb.heads.squad import Question, read_squad, score_answers

#: Of the articles, those that are trained on.
SHARE = 0.8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("questions", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learn-rate", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    questions = read_squad(arguments.questions)
    train, held_out = split(questions)
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": "minilm"})
    pipe = nlp.add_pipe("ctxemb_qa")
    assert isinstance(pipe, QuestionAnswering)
    start = time.perf_counter()
    fine_tune(
        pipe,
        train,
        n_epochs=arguments.epochs,
        learn_rate=arguments.learn_rate,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        log=lambda step, loss: (
            print(f"{step:5d}  {loss:.3f}", flush=True) if step % 20 == 0 else None
        ),
    )
    print(f"{len(train)} questions, {time.perf_counter() - start:.0f} s of training")
    start = time.perf_counter()
    scores = evaluate(nlp, pipe, held_out)
    print(f"{len(held_out)} questions, {time.perf_counter() - start:.1f} s: {scores}")


def split(questions: list[Question]) -> tuple[list[Question], list[Question]]:
    n_articles = 1 + max(question.article for question in questions)
    n_first = round(SHARE * n_articles)
    train = [question for question in questions if question.article < n_first]
    return train, questions[len(train) :]


def evaluate(nlp: Language, pipe: QuestionAnswering, questions: list[Question]) -> dict[str, float]:
    pairs = []
    for question in questions:
        found = pipe.find_answers(question.text, question.context, 1).found
        answer = question.context[found[0].start : found[0].end] if found else ""
        pairs.append((answer, [gold.text for gold in question.answers]))
    return score_answers(pairs)


if __name__ == "__main__":
    main()
