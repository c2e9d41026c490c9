"""Answers to questions, read in the passages that an index finds."""

from typing import NamedTuple

from spacy.language import Language

from ..errors import Errors
from ..heads.question_answering import QuestionAnswering
from .index import Hit, Index

#: Neighbours on each side that are read along with a passage: a sentence alone says too little.
N_NEIGHBOURS = 2


class Answer(NamedTuple):
    """An answer. id: of its text. start, end: its characters there. score: its probability in what
    was read, times the cosine of the passage. read: the text of the passage with its neighbours.
    hit: the passage that the index found."""

    text: str
    id: str
    start: int
    end: int
    score: float
    read: str
    hit: Hit


def ask(
    index: Index,
    question: str,
    n: int = 3,
    *,
    n_passages: int = 10,
    reader: Language | None = None,
) -> list[Answer]:
    """The n best answers to a question, the best one first; the same words of a text once.

    n_passages: in which they are read. reader: a pipeline with `ctxemb_qa`; None for that of the
    index. Raises E723 for one without, E386 where it has no weights, E727 for an index of tokens
    or spans, and what `Index.search` raises.

        ask(index, "Where did the otters sleep?")[0].text
    """
    qa = find_reader(reader or index.nlp)
    if index.level not in ("sent", "doc"):
        raise ValueError(Errors.E727.format(level=index.level))
    if not isinstance(n, int) or n < 1:
        raise ValueError(Errors.E721.format(what="n", expected="at least 1", found=n))
    found: dict[tuple[str, int, int], Answer] = {}
    for hit in index.search(question, n_passages):
        read = index.find_context(hit, N_NEIGHBOURS if index.level == "sent" else 0)
        for start, end, score in qa.find_answers(question, read.text, n).found:
            place = hit.id, read.start + start, read.start + end
            total = score * max(hit.score, 0.0)
            answer = Answer(read.text[start:end], *place, total, read.text, hit)
            if place not in found or found[place].score < total:
                found[place] = answer
    return sorted(found.values(), key=lambda answer: -answer.score)[:n]


def find_reader(nlp: Language) -> QuestionAnswering:
    """The component that answers. Raises E723 where there is none."""
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, QuestionAnswering):
            return pipe
    raise ValueError(Errors.E723.format(names=nlp.pipe_names))
