"""`ctxemb_textcat`: categories of texts, by the classes of windows."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from torch import Tensor
from torch.nn import functional as F

from ..errors import Errors
from .head_as_thinc_model import HeadModel, Scored
from .token_aggregation import softmax
from .trainable_component import HeadPipe

#: Numbers of a Doc, with kind "regression": doc._.ctxemb_score.
SCORE = "ctxemb_score"

#: With per_sentence, the scores of each label for a sentence: sent._.ctxemb_cats.
CATS = "ctxemb_cats"

KINDS = ("single_label", "multi_label", "regression")

if not Doc.has_extension(SCORE):
    Doc.set_extension(SCORE, default=None)
if not Span.has_extension(CATS):
    Span.set_extension(CATS, default=None)

Floats = NDArray[np.float32]


class TextScores(NamedTuple):
    """The score of each label: (C,), of a text; with per_sentence, (S, C), of its sentences, which
    begin at these characters."""

    text: Floats
    sentences: Floats | None
    starts: list[int]


class TextClassifier(HeadPipe):
    """Writes the scores of labels to doc.cats; see build_ctxemb_textcat in factory.py.

    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb")
    nlp.add_pipe("ctxemb_textcat")
    nlp.initialize(get_examples)
    """

    task = "text"

    def __init__(
        self,
        vocab: Vocab,
        model: HeadModel,
        name: str = "ctxemb_textcat",
        *,
        kind: str = "single_label",
        threshold: float = 0.5,
        per_sentence: bool = False,
    ) -> None:
        super().__init__(vocab, model, name)
        if model.attrs["reads"] == "pieces":
            raise ValueError(Errors.E613.format(name=name, reads="pieces"))
        if kind not in KINDS:
            raise ValueError(Errors.E614.format(name=name, kind=kind, options=list(KINDS)))
        self.kind = kind
        self.threshold = threshold
        self.per_sentence = per_sentence

    def name_classes(self, label: str) -> list[str]:
        return [label]

    def list_labels(self, example: Example) -> Iterable[str]:
        return example.reference.cats

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
        fit: bool = False,
    ) -> None:
        """Take labels, and give the head its weights.

        fit: whether these are fitted to the examples, on the encoder as it is, in place of random
            ones; needs the extra `few`. The head can learn further after that.
        Raises E607, and what fit_head raises.
        """
        super().initialize(get_examples, nlp=nlp, labels=labels)
        if fit:
            from .fit_head import fit_head

            fit_head(self, get_examples(), nlp)

    def predict(self, docs: Iterable[Doc]) -> list[TextScores]:
        """The scores of each Doc, and with per_sentence those of its sentences."""
        return [self._finish(*one) for one in self.score_docs(docs)]

    def _finish(self, scores: Floats, states: dict[str, Any]) -> TextScores:
        weights, starts = weigh(states["owned"]), states["sentences"]
        sentences = None
        if self.per_sentence:
            owners = states["sequences"]
            of_sentence = np.stack(
                [weigh(states["owned"] * (owners == i), owners == i) for i in range(len(starts))]
            )
            sentences = self._to_probabilities(of_sentence @ scores)
        return TextScores(self._to_probabilities(weights[None] @ scores)[0], sentences, starts)

    def _to_probabilities(self, scores: Floats) -> Floats:
        """(n, C) to (n, C)."""
        if self.kind == "single_label":
            return softmax(scores)
        if self.kind == "multi_label":
            return cast(Floats, torch.from_numpy(scores).sigmoid().numpy())
        return scores

    def set_annotations(self, docs: Iterable[Doc], scores: Sequence[TextScores]) -> None:
        """Write to doc.cats, or with kind "regression" to doc._.ctxemb_score; with per_sentence to
        sent._.ctxemb_cats too. Raises E615 for a Doc without sentences then."""
        for doc, one in zip(docs, scores, strict=True):
            if self.kind == "regression":
                numbers = one.text.tolist()
                value = numbers[0] if len(numbers) == 1 else self._name(one.text)
                doc._.set(SCORE, value)
            else:
                doc.cats.update(self._name(one.text))
            if one.sentences is not None and len(doc):
                self._write_sentences(doc, one.sentences, one.starts)

    def _write_sentences(self, doc: Doc, scores: Floats, starts: list[int]) -> None:
        known = dict(zip(starts, scores, strict=True))
        sents = list(doc.sents) if doc.has_annotation("SENT_START") else []
        if not sents or any(sent.start_char not in known for sent in sents):
            raise ValueError(
                Errors.E615.format(name=self.name, n=len(sents), n_encoded=len(starts))
            )
        for sent in sents:
            sent._.set(CATS, self._name(known[sent.start_char]))

    def _name(self, scores: Floats) -> dict[str, float]:
        return dict(zip(self.classes, scores.tolist(), strict=True))

    def compute_loss(
        self, examples: Sequence[Example], scored: Sequence[Scored], scores: Tensor
    ) -> Tensor:
        """Cross entropy, of one class or of each; or the square of the error. Labels that are
        missing, or None, do not count."""
        weights = np.concatenate([weigh(one.states["owned"]) for one in scored])
        owners = np.repeat(np.arange(len(scored)), [len(one.states["owned"]) for one in scored])
        weighted = scores * torch.from_numpy(weights).to(scores.device)[:, None]
        index = torch.from_numpy(owners).to(scores.device)
        by_doc = scores.new_zeros(len(scored), scores.size(1)).index_add(0, index, weighted)
        gold = np.array([self.read_gold(eg) for eg in examples], dtype="f")
        target = torch.from_numpy(gold).to(scores.device)  # (n, C), nan where it is not known
        if self.kind == "single_label":
            is_known = target.sum(dim=1) == 1
            loss = F.cross_entropy(by_doc[is_known], target[is_known], reduction="sum")
        else:
            is_known = ~target.isnan()
            compute = (
                F.mse_loss if self.kind == "regression" else F.binary_cross_entropy_with_logits
            )
            loss = compute(by_doc[is_known], target[is_known], reduction="sum")
        return loss / is_known.sum().clamp(min=1)

    def read_gold(self, example: Example) -> list[float]:
        """The value of each label. Raises E611 for a label that has no class, E616 for values that
        the kind does not have."""
        cats = example.reference.cats
        unknown = sorted(cats.keys() - set(self.classes))
        if unknown:
            raise ValueError(Errors.E611.format(label=unknown[0], classes=list(self.classes)))
        is_choice, given = self.kind == "single_label", [v for v in cats.values() if v is not None]
        fits = all(math.isfinite(value) for value in given)
        if self.kind == "multi_label":
            fits = all(0.0 <= value <= 1.0 for value in given)
        elif is_choice:
            fits = set(given) <= {0.0, 1.0} and given.count(1.0) <= 1
        if not fits:
            raise ValueError(Errors.E616.format(name=self.name, cats=cats))
        missing = 0.0 if is_choice else float("nan")
        values = (cats.get(label) for label in self.classes)
        return [missing if value is None else float(value) for value in values]

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """spaCy's scores of categories; of numbers their mean absolute error, and as cats_score
        Pearson's correlation."""
        examples = list(examples)
        if self.kind != "regression":
            return Scorer.score_cats(
                examples,
                "cats",
                labels=self.labels,
                multi_label=self.kind == "multi_label",
                threshold=self.threshold,
            )
        return self._score_numbers(examples)

    def _score_numbers(self, examples: Sequence[Example]) -> dict[str, float]:
        """The correlation and the error of the first number of each text."""
        found = [eg.predicted._.get(SCORE) for eg in examples]
        numbers = [list(one.values())[0] if isinstance(one, dict) else one for one in found]
        pairs = zip([self.read_gold(eg)[0] for eg in examples], numbers, strict=True)
        known = np.array([pair for pair in pairs if not math.isnan(pair[0])])
        if not len(known):
            return {"cats_score": 0.0, "cats_mae": 0.0}
        (x, y), error = (known - known.mean(axis=0)).T, np.abs(known[:, 0] - known[:, 1]).mean()
        spread = float(np.sqrt((x**2).sum() * (y**2).sum()))
        score = float((x * y).sum()) / spread if spread else 0.0
        return {"cats_score": score, "cats_mae": float(error)}


def weigh(owned: Any, chosen: Any = True) -> Floats:
    """The share of each window in a text: of the pieces that it owns, or equal shares where there
    are no pieces. (N,)"""
    shares = np.asarray(owned, dtype="f")
    if not shares.any():
        shares = np.ones(len(shares), dtype="f") * np.asarray(chosen, dtype="f")
    return cast(Floats, shares / shares.sum())
