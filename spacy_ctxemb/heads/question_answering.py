"""The component `ctxemb_qa`: answers to questions, as stretches of a Doc."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import torch
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import minibatch
from thinc.api import Model, Optimizer, set_dropout_rate
from torch import Tensor

from ..errors import Errors
from ..pieces.subwords import SubwordPieces
from .asked_component import AskedPipe
from .head_layers import Head
from .head_shim import HeadShim, get_head
from .learn_answers import Target, find_targets, learn, score_states
from .question_pairs import Pair, encode_pair
from .read_answers import Answers, read_answers
from .squad import read_questions, score_answers

#: The probability of an answer: span._.ctxemb_answer_score.
SCORE = "ctxemb_answer_score"

#: Questions whose windows are held at once when a pipeline is scored.
N_ASKED = 64

if not Span.has_extension(SCORE):
    Span.set_extension(SCORE, default=None)


class QuestionAnswering(AskedPipe, TrainablePipe):  # type: ignore[misc] # spaCy's compiled code has no types
    """Finds the answer to a question in a Doc. Learns from the questions of Docs, in
    doc._.ctxemb_questions.

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
        self.vocab = nlp.vocab
        self.cfg: dict[str, Any] = {}
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
        if found.says_nothing(no_answer_threshold):
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
        return next(self.ask_all([(question, text)], n))

    def ask_all(self, asked: Sequence[tuple[str, str]], n: int) -> Iterator[Answers]:
        """The same for several questions with their texts, whose windows share passes of the
        encoder. A blank text has no answer."""
        encoded = [self.encode(question, text) for question, text in asked]
        windows = [window for _, own in encoded for window in own]
        scores = (one.double().numpy() for one in self.score_windows(self.shim, windows))
        for (pair, own), (_, text) in zip(encoded, asked, strict=True):
            of_pair = list(islice(scores, len(own)))
            yield read_answers(of_pair, pair, text, n=n, max_length=self.max_answer_length)

    def encode(self, question: str, text: str) -> tuple[Pair, list[Tensor]]:
        """A question and a text, and their windows: ids and segments, (2, T) each."""
        shim = self.shim
        tokenizer = cast(SubwordPieces, shim.pieces).tokenizer
        longest = min(self.max_length, shim.embedder.encoder.max_length or self.max_length)
        overlap = min(self.overlap, longest // 2)
        pair = encode_pair(tokenizer, question, text, max_length=longest, overlap=overlap)
        return pair, [torch.from_numpy(pair.join(window)) for window in pair.windows]

    def use_head(self, head: Head | None, settings: dict[str, Any]) -> None:
        super().use_head(head, settings)
        own = {n: value for n, value in settings.items() if n not in ("width", "n_classes")}
        attrs = {"dropout_rate": 0.0}
        self.model: Model[Tensor, Tensor] = Model(
            "ctxemb-answers", score_states, shims=[HeadShim(own, head)], attrs=attrs
        )

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Draw the head's weights. The encoder needs to have its own."""
        validate_get_examples(get_examples, "QuestionAnswering.initialize")
        self.use_head(None, {})
        settings = {"width": self.shim.embedder.encoder.width, "n_classes": 2}
        get_head(self.model).build(**settings)
        self.head, self.head_settings = cast(Head, get_head(self.model).module), settings

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from the questions of a batch, and send gradients to the encoder if its component
        learns from the same batch. Windows without the answer learn "no answer".

        Raises E608 without a head, E622 and E623 as `read_questions` does.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        validate_examples(examples, "QuestionAnswering.update")
        examples = list(examples)
        if self.head is None:
            raise RuntimeError(Errors.E608.format(name=self.name))
        targets = [target for eg in examples for target in self.find_targets(eg.reference)]
        upstream = self.link.find_learning([eg.predicted for eg in examples])
        set_dropout_rate(self.model, drop)
        loss, squares = learn(
            self.model, self.shim, targets, self.name, is_encoder_trained=upstream is not None
        )
        losses[self.name] += loss
        if upstream is not None:
            losses[upstream] = losses.get(upstream, 0.0) + squares
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def find_targets(self, doc: Doc) -> Iterator[Target]:
        """What is to be learned from the questions of a Doc."""
        for question in read_questions(doc):
            yield from find_targets(*self.encode(question.text, doc.text), question.answers)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Exact matches and F1 of the best answers, by the rules of SQuAD's script; None where no
        Doc has questions. If some have no answer, "no answer" is one if it is the most probable."""
        asked = [
            (one, eg.reference.text) for eg in examples for one in read_questions(eg.reference)
        ]
        threshold = None if all(question.answers for question, _ in asked) else 0.0
        pairs = []
        for batch in minibatch(asked, N_ASKED):
            answers = self.ask_all([(question.text, text) for question, text in batch], 1)
            for (question, text), found in zip(batch, answers, strict=True):
                best = "" if found.says_nothing(threshold) else text[slice(*found.found[0][:2])]
                pairs.append((best, [gold.text for gold in question.answers]))
        scores = score_answers(pairs) if pairs else {}
        return {f"qa_{name}": scores.get(name) for name in ("exact", "f1")}


def to_spans(answers: Answers, doc: Doc) -> Iterator[Span]:
    """The tokens that answers lie in, wholly or in part; the same ones once."""
    known: set[Span] = set()
    for answer in answers.found:
        span = doc.char_span(answer.start, answer.end, alignment_mode="expand")
        if span is not None and span not in known:
            known.add(span)
            span._.set(SCORE, answer.score)
            yield span
