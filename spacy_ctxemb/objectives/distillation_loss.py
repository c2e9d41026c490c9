"""What a small encoder learns from a larger one, its teacher.

Source: states of words: Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language
Understanding", section 3.1; vectors of texts: Reimers and Gurevych 2020, "Making Monolingual
Sentence Embeddings Multilingual using Knowledge Distillation", section 2; relations: Park et al.
2019, "Relational Knowledge Distillation", section 3.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import Encoder
from ..errors import Errors
from ..pieces.base import TextPieces
from .base import Losses, Objective, Targets
from .masked_lm_loss import MaskedLMObjective

TOKENS, TEXTS, RELATIONS, USES, MASKED = "tokens", "texts", "relations", "uses", "masked"

#: Not a loss, but the mean cosine of what is projected and its targets.
COSINE = "tokens_cosine"


class Answer(NamedTuple):
    """What a teacher makes of some texts; None for what no loss compares.

    words: (W, D) of each target layer, normalised. texts: (B, D), of length 1.
    """

    words: list[Tensor] | None
    texts: Tensor | None


class DistilObjective(Objective):
    """Compares the vectors of words and texts with those of a teacher.

    losses: names of those that are computed: "tokens", "texts", "relations", "uses".
    width: of the pupil's words. word_widths: of the teacher's, one for each target layer.
    text_width: of the teacher's texts.
    teacher: what tells one teacher from another.
    masked: language modelling beside it, or None.
    """

    kind = "distil"

    def __init__(
        self,
        *,
        losses: Sequence[str],
        width: int,
        word_widths: Sequence[int],
        text_width: int,
        teacher: str,
        masked: MaskedLMObjective | None = None,
    ) -> None:
        super().__init__()
        self.settings = {
            "losses": list(losses),
            "width": width,
            "word_widths": list(word_widths),
            "text_width": text_width,
            "teacher": teacher,
        }
        self.losses = list(losses)
        self.word_widths = list(word_widths)
        self.tokens = nn.Linear(width, sum(word_widths)) if TOKENS in losses else None
        self.texts = nn.Linear(width, text_width) if TEXTS in losses else None
        self.masked = masked

    def compare(
        self, words: Tensor, answer: Answer, n_words: Tensor, numbers: Tensor | None
    ) -> Losses:
        """Compute the sums of the losses that are not of language modelling.

        words: (W, D), the pupil's. n_words: (B,), words of each text, at least one. numbers: (W,),
        equal where words are; for "uses".
        """
        nll: dict[str, Tensor] = {}
        n_targets = dict.fromkeys(self.losses, len(n_words))
        texts = average(words, n_words)  # (B, D)
        errors = [F.mse_loss(*pair) for pair in self.pair_words(words, answer)]
        if errors:
            nll[TOKENS] = torch.stack(errors).mean() * len(words)
            n_targets[TOKENS] = len(words)
        if self.texts is not None and answer.texts is not None:
            found = self.texts(texts).float()
            nll[TEXTS] = (1 - F.cosine_similarity(found, answer.texts)).sum()
        if RELATIONS in self.losses and answer.words is not None and answer.texts is not None:
            alone = n_words.new_tensor([len(n_words)])
            within = sum_relations(words, answer.words[-1], n_words)
            among = sum_relations(texts, answer.texts, alone) * len(n_words)
            nll[RELATIONS] = within + among
        if USES in self.losses and answer.words is not None and numbers is not None:
            nll[USES] = average_uses(words, answer.words[-1], numbers) * len(n_words)
        return Losses(nll, n_targets)

    def pair_words(self, words: Tensor, answer: Answer) -> Iterator[tuple[Tensor, Tensor]]:
        """For each target layer, what is made of words, and its words; none if none are compared.

        (W, D) each"""
        if self.tokens is not None and answer.words is not None:
            projected = self.tokens(words).float().split(self.word_widths, dim=-1)
            yield from zip(projected, answer.words, strict=True)

    def sum_cosines(self, words: Tensor, answer: Answer) -> Tensor:
        """Sum over words the mean over target layers of the cosine of both."""
        pairs = self.pair_words(words, answer)
        return torch.stack([F.cosine_similarity(*pair).sum() for pair in pairs]).mean()

    def make_targets(
        self, pieces: TextPieces, words: Sequence[str], rng: np.random.Generator
    ) -> Targets:
        return self.language_model.make_targets(pieces, words, rng)

    def forward(self, layers: tuple[Tensor, ...], targets: Tensor, mask: Tensor) -> Losses:
        return self.language_model(layers, targets, mask)

    @property
    def language_model(self) -> MaskedLMObjective:
        """The language modelling in it. Raises E439 if there is none."""
        if self.masked is None:
            raise ValueError(Errors.E439)
        return self.masked

    def reset_parameters(self) -> None:
        for part in (self.tokens, self.texts, self.masked):
            if part is not None:
                part.reset_parameters()

    def to_json(self) -> dict[str, Any]:
        return {**self.settings, "masked": self.masked and self.masked.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any], encoder: Encoder) -> "DistilObjective":
        masked = data["masked"] and MaskedLMObjective.from_json(data["masked"], encoder)
        return cls(**{**data, "masked": masked})


def average(words: Tensor, n_words: Tensor) -> Tensor:
    """Compute the mean of the words of each text. (W, D); (B,). Returns (B, D)."""
    return F.embedding_bag(
        torch.arange(len(words), device=words.device),
        words,
        n_words.cumsum(0) - n_words,
        mode="mean",
    )


def sum_relations(ours: Tensor, theirs: Tensor, sizes: Tensor) -> Tensor:
    """Sum over groups the mean squared difference of the cosines of all pairs of rows in a group.

    ours: (n, D); theirs: (n, E). sizes: (G,), rows of each group.
    """
    mask = torch.arange(int(sizes.max()), device=sizes.device) < sizes[:, None]  # (G, m)
    with torch.autocast(ours.device.type, enabled=False):
        difference = find_cosines(ours, mask) - find_cosines(theirs, mask)  # (G, m, m)
    return (difference.square().sum(dim=(1, 2)) / sizes.square()).sum()


def average_uses(ours: Tensor, theirs: Tensor, numbers: Tensor) -> Tensor:
    """Average over words that occur again the squared difference of the cosines of two uses.

    ours: (n, D); theirs: (n, E). numbers: (n,), equal where words are. A word that occurs often
    counts no more than one that occurs twice. 0 where none occurs again.
    """
    order = numbers.argsort(stable=True)
    again = numbers[order[:-1]] == numbers[order[1:]]
    one, other = order[:-1][again], order[1:][again]
    with torch.autocast(ours.device.type, enabled=False):
        cosines = [
            F.cosine_similarity(rows[one].float(), rows[other].float()) for rows in (ours, theirs)
        ]
    _, which, counts = numbers[one].unique(return_inverse=True, return_counts=True)
    return ((cosines[0] - cosines[1]).square() / counts[which]).sum() / max(len(counts), 1)


def find_cosines(rows: Tensor, mask: Tensor) -> Tensor:
    """Compute the cosines of all pairs of rows of each group; 0 where there is no row.

    rows: (n, D); mask: (G, m). Returns (G, m, m).
    """
    unit = F.normalize(rows.float(), dim=-1)
    padded = unit.new_zeros(*mask.shape, unit.size(1)).masked_scatter(mask[..., None], unit)
    return padded @ padded.mT
