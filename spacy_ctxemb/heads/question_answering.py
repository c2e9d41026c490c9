"""The component `ctxemb_qa`: answers to questions, as stretches of a Doc."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import cast

import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from torch import Tensor

from ..errors import Errors
from ..pieces.subwords import SubwordPieces
from .asked_component import AskedPipe
from .question_pairs import Pair, encode_pair
from .read_answers import Answers, read_answers

#: The probability of an answer: span._.ctxemb_answer_score.
SCORE = "ctxemb_answer_score"

if not Span.has_extension(SCORE):
    Span.set_extension(SCORE, default=None)


class QuestionAnswering(AskedPipe):
    """Finds the answer to a question in a Doc.

    max_length: pieces in a window, question included; less where the encoder takes fewer.
    overlap: pieces that neighbouring windows of a long Doc share.
    max_answer_length: pieces of an answer.

    Source: Devlin et al. 2019, "BERT", sections 4.2 and 4.3.

        nlp = spacy.load("minilm-uncased-squad2")
        doc = nlp("Ada lived in London.")
        nlp.get_pipe("ctxemb_qa").answer("Where did Ada live?", doc)
    """

    task = "question"

    def __init__(
        self,
        nlp: Language,
        name: str,
        *,
        encoder: str,
        max_length: int = 384,
        overlap: int = 128,
        max_answer_length: int = 15,
    ) -> None:
        super().__init__(nlp, name, encoder=encoder)
        self.max_length = max_length
        self.overlap = overlap
        self.max_answer_length = max_answer_length

    def answer(
        self, question: str, doc: Doc, n: int = 3, *, no_answer_threshold: float | None = None
    ) -> list[Span]:
        """The n best answers, the best one first, with their probabilities in
        span._.ctxemb_answer_score. A span that answers several questions has that of the last.

        no_answer_threshold: there is no answer where the logarithm of the probability of "no
            answer" is larger than that of the best one by more than this: 0 as in transformers'
            handle_impossible_answer, other values as SQuAD 2's script finds them. None to answer
            in any case.
        Raises E389 for a question or a Doc without text, E384 for a question that is too long.
        """
        found = self.find_all(question, doc.text, n)
        if no_answer_threshold is not None and found.found:
            best = max(found.found[0].score, 1e-300)
            if math.log(max(found.nothing, 1e-300) / best) > no_answer_threshold:
                return []
        return list(islice(to_spans(found, doc), max(n, 0)))

    def find_answers(self, question: str, text: str, n: int = 3) -> Answers:
        """The same as characters of a text, and the probability that it has no answer."""
        found = self.find_all(question, text, n)
        return found._replace(found=found.found[:n])

    def find_all(self, question: str, text: str, n: int) -> Answers:
        """These, and more in the place of some that are the same tokens."""
        for what, given in (("question", question), ("Doc", text)):
            if not given.strip():
                raise ValueError(Errors.E389.format(name=self.name, what=what, found=given))
        pair, windows = self.encode(question, text)
        scores = [x.double().numpy() for x in self.score_windows(self.shim, windows)]
        return read_answers(scores, pair, text, n=n, max_length=self.max_answer_length)

    def encode(self, question: str, text: str) -> tuple[Pair, list[Tensor]]:
        """A question and a text, and their windows: ids and segments, (2, T) each."""
        shim = self.shim
        tokenizer = cast(SubwordPieces, shim.pieces).tokenizer
        longest = min(self.max_length, shim.embedder.encoder.max_length or self.max_length)
        overlap = min(self.overlap, longest // 2)
        pair = encode_pair(tokenizer, question, text, max_length=longest, overlap=overlap)
        return pair, [torch.from_numpy(pair.join(window)) for window in pair.windows]


def to_spans(answers: Answers, doc: Doc) -> Iterator[Span]:
    """The tokens that answers lie in, wholly or in part; the same ones once."""
    known: set[Span] = set()
    for answer in answers.found:
        span = doc.char_span(answer.start, answer.end, alignment_mode="expand")
        if span is not None and span not in known:
            known.add(span)
            span._.set(SCORE, answer.score)
            yield span
