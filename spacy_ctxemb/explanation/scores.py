"""The scores of labels: as a component finds them, and as functions of its head's output."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline import EntityRecognizer, SpanCategorizer
from spacy.tokens import Doc
from spacy.util import minibatch
from torch import Tensor

from ..errors import Errors
from ..heads.text_classification import TextClassifier, weigh
from ..heads.token_classification import TokenClassifier
from ..heads.token_labels import read_tag
from ..heads.trainable_component import HeadPipe
from ..silver_labels import read_up_to, weigh_entities
from .targets import CATS, Target, get_place, list_spans

#: Texts that are read at a time.
BATCH_SIZE = 64


def score_docs(
    nlp: Language, name: str, kind: str, pairs: Iterable[tuple[Doc, Sequence[Target]]]
) -> NDArray[np.float64]:
    """The scores that a component gives. (n_docs, n_targets)

    pairs: Docs as the tokenizer makes them, and what is to be scored in each, as many for each. A
    span without tokens has the score 0.
    """
    rows: list[list[float]] = []
    for batch in minibatch(pairs, BATCH_SIZE):
        docs, targets = zip(*batch, strict=True)
        pipe = nlp.get_pipe(name)
        rows += score_batch(nlp, name, kind, read_up_to(nlp, pipe, docs), targets)
    return np.array(rows, dtype=np.float64)


def score_batch(
    nlp: Language, name: str, kind: str, docs: list[Doc], targets: Sequence[Sequence[Target]]
) -> list[list[float]]:
    pipe: Any = nlp.get_pipe(name)
    pairs = zip(docs, targets, strict=True)
    if isinstance(pipe, HeadPipe):
        scored = zip(pipe.score_docs(docs), targets, strict=True)
        return [
            [
                score_by_head(pipe, torch.from_numpy(one.scores), one.states, target).item()
                for target in some
            ]
            for one, some in scored
        ]
    if isinstance(pipe, SpanCategorizer):
        tables = score_spans(pipe, docs)
    elif isinstance(pipe, EntityRecognizer):
        tables = [dict(one) for one in weigh_entities(pipe, docs)]
    else:
        before = [find_places(nlp, name, kind, doc) for doc in docs]
        docs = list(pipe.pipe(docs)) if hasattr(pipe, "pipe") else [pipe(doc) for doc in docs]
        if kind == CATS:
            pairs = zip(docs, targets, strict=True)
            return [[doc.cats.get(target.label, 0.0) for target in some] for doc, some in pairs]
        after = [find_places(nlp, name, kind, doc) for doc in docs]
        tables = [dict.fromkeys(x - y, 1.0) for x, y in zip(after, before, strict=True)]
    return [
        [table.get((*cast(tuple[int, int], t.span), t.label), 0.0) for t in some]
        for table, some in zip(tables, targets, strict=True)
    ]


def find_places(nlp: Language, name: str, kind: str, doc: Doc) -> set[tuple[int, int, str]]:
    """First token, the one after the last, and label of what is there, whoever found it."""
    return {(*get_place(one), one.label_) for one in list_spans(nlp, name, kind, doc)}


def score_spans(
    pipe: SpanCategorizer, docs: Sequence[Doc]
) -> list[dict[tuple[int, int, str], float]]:
    """The probabilities of all candidates of a span categorizer in each Doc."""
    candidates, scores = pipe.predict(docs)
    rows = iter(pipe.model.ops.to_numpy(scores).tolist())
    return [
        {
            (int(start), int(end), label): score
            for start, end in pipe.model.ops.to_numpy(candidates[i].dataXd)
            for label, score in zip(pipe.labels, next(rows), strict=False)  # a negative class more
        }
        for i in range(len(docs))
    ]


def score_by_head(pipe: HeadPipe, scores: Tensor, states: dict[str, Any], target: Target) -> Tensor:
    """The probability of a label, or with kind "regression" the number. A tensor of one number.

    scores: (p, C) of the pieces, or (N, C) of the windows of a Doc. states: what they are of, see
    STATES in doc_vectors/names.py.
    """
    if isinstance(pipe, TextClassifier):
        return score_text(pipe, scores, states, target.label)
    if isinstance(pipe, TokenClassifier) and target.span is not None:
        return score_entity(pipe, scores, states, target.label, target.span)
    raise TypeError(Errors.E734.format(name=pipe.name, found=type(pipe).__name__))


def score_text(pipe: TextClassifier, scores: Tensor, states: dict[str, Any], label: str) -> Tensor:
    weights = torch.from_numpy(weigh(states["owned"])).to(scores.device)
    found = weights @ scores  # (C,)
    if pipe.kind == "single_label":
        found = found.softmax(dim=0)
    elif pipe.kind == "multi_label":
        found = found.sigmoid()
    return found[pipe.classes.index(label)]


def score_entity(
    pipe: TokenClassifier,
    scores: Tensor,
    states: dict[str, Any],
    label: str,
    span: tuple[int, int],
) -> Tensor:
    """The mean over the pieces of some tokens of the probability that they are in an entity of
    this label, be it at its begin or further on. Of first pieces, where the component reads these.
    """
    tokens = range(*span)
    is_first = pipe.aggregation == "first"
    pieces = [
        int(states["starts"][i]) + k
        for i in tokens
        for k in range(min(int(states["lengths"][i]), 1 if is_first else len(scores)))
    ]
    if not pieces:
        return scores.sum() * 0
    classes = [i for i, one in enumerate(pipe.classes) if read_tag(one, pipe.scheme).type == label]
    return scores[pieces].softmax(dim=1)[:, classes].sum(dim=1).mean()
