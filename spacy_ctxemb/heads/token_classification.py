"""`ctxemb_ner`: entities, or other stretches of tokens, by the classes of pieces."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from spacy.vocab import Vocab
from torch import Tensor
from torch.nn import functional as F

from ..errors import Errors
from .head_as_thinc_model import HeadModel, Scored
from .token_aggregation import Entity, check_aggregation, find_entities
from .token_labels import OUTSIDE, check_scheme, encode, make_rules, name_classes, read_tag
from .trainable_component import HeadPipe

#: The probability of an entity: span._.ctxemb_score.
SCORE = "ctxemb_score"

if not Span.has_extension(SCORE):
    Span.set_extension(SCORE, default=None)


class TokenClassifier(HeadPipe):
    """Writes entities to doc.ents; see build_ctxemb_ner in factory.py for the settings.

    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb")
    nlp.add_pipe("ctxemb_ner")
    nlp.initialize(get_examples)
    """

    task = "token"

    def __init__(
        self,
        vocab: Vocab,
        model: HeadModel,
        name: str = "ctxemb_ner",
        *,
        aggregation: str = "first",
        scheme: str = "IOB2",
        constrained: bool = True,
        threshold: float = 0.0,
        spans_key: str | None = None,
        scorer: Callable[..., Any] | None = get_ner_prf,
    ) -> None:
        super().__init__(vocab, model, name)
        if model.attrs["reads"] != "pieces":
            raise ValueError(Errors.E613.format(name=name, reads=model.attrs["reads"]))
        self.aggregation = check_aggregation(aggregation)
        self.scheme = check_scheme(scheme)
        self.constrained = constrained
        self.threshold = threshold
        self.spans_key = spans_key
        self.scorer = scorer

    @property
    def labels(self) -> tuple[str, ...]:
        """The types of entities."""
        types = (read_tag(name, self.scheme).type for name in self.classes if name != OUTSIDE)
        return tuple(dict.fromkeys(types))

    def name_classes(self, label: str) -> list[str]:
        return [OUTSIDE, *name_classes(label, self.scheme)]

    def list_labels(self, example: Example) -> Iterable[str]:
        return (ent.label_ for ent in example.reference.ents)

    def predict(self, docs: Iterable[Doc]) -> list[list[Entity]]:
        """The entities of each Doc as the head finds them, by characters."""
        rules = make_rules(self.classes, self.scheme)
        found = (
            find_entities(
                *one,
                self.classes,
                rules,
                aggregation=self.aggregation,
                constrained=self.constrained,
            )
            for one in self.score_docs(docs)
        )
        return [[one for one in some if one.score >= self.threshold] for some in found]

    def set_annotations(self, docs: Iterable[Doc], entities: Sequence[Sequence[Entity]]) -> None:
        """Write entities to doc.ents beside those that are there, and to doc.spans.

        A span has all tokens that it has characters of. Of two entities that then overlap
        doc.ents has the more probable one; tokens that `doc.set_ents` has blocked are in none.
        span._.ctxemb_score is that of doc.ents; doc.spans has the scores of all.
        """
        for doc, found in zip(docs, entities, strict=True):
            pairs = [(span, one.score) for one in found if (span := to_span(doc, one))]
            if self.spans_key is not None:
                doc.spans[self.spans_key] = SpanGroup(
                    doc,
                    name=self.spans_key,
                    attrs={"scores": np.array([score for _, score in pairs])},
                    spans=[span for span, _ in pairs],
                )
            write_entities(doc, pairs)

    def compute_loss(
        self, examples: Sequence[Example], scored: Sequence[Scored], scores: Tensor
    ) -> Tensor:
        """Cross entropy of the first piece of each token that is annotated."""
        rows, classes, n_pieces = [], [], 0
        for eg, one in zip(examples, scored, strict=True):
            gold = np.array(encode(eg.get_aligned_ner(), self.classes, self.scheme), dtype=int)
            is_known = (gold >= 0) & (one.states["lengths"] > 0)
            rows.append(one.states["starts"][is_known] + n_pieces)
            classes.append(gold[is_known])
            n_pieces += len(one.scores)
        index, target = (
            torch.from_numpy(np.concatenate(parts)).to(scores.device) for parts in (rows, classes)
        )
        return F.cross_entropy(scores[index], target) if len(index) else scores.new_zeros(())


def write_entities(doc: Doc, pairs: Sequence[tuple[Span, float]]) -> None:
    """Add the most probable of some spans to doc.ents, where tokens are neither taken nor blocked,
    and write their scores. spaCy keeps those by characters, so that a span has only one."""
    blocked = list_blocked(doc)
    is_taken = [bool(token.ent_type) for token in doc]
    for span in blocked:
        is_taken[span.start] = True
    chosen = list(doc.ents)
    for span, score in sorted(pairs, key=lambda pair: -pair[1]):
        if not any(is_taken[span.start : span.end]):
            chosen.append(span)
            is_taken[span.start : span.end] = [True] * len(span)
            span._.set(SCORE, score)
    doc.set_ents(chosen, blocked=blocked, default="outside")


def list_blocked(doc: Doc) -> list[Span]:
    """The tokens that may be in no entity, as spaCy's recognizer sees them: "B" without a type."""
    return [doc[t.i : t.i + 1] for t in doc if t.ent_iob_ == "B" and not t.ent_type]


def to_span(doc: Doc, entity: Entity) -> Span | None:
    """The tokens that an entity has characters of; nothing for one without characters."""
    return doc.char_span(entity.start, entity.end, label=entity.label, alignment_mode="expand")
