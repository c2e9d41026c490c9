"""Masked language modelling: predict pieces that were hidden, and whether texts follow each other.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1 and appendix A.1.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import Encoder, TransformerEncoder
from ..pieces.base import TextPieces
from .base import NO_TARGET, Losses, Objective, Targets, wrong_encoder
from .masking import Masking

#: Whether a text follows the one before it: classes in the order of published heads.
IS_NEXT, IS_OTHER = 0, 1


class MaskedLMObjective(Objective):
    """Hides a share of the pieces, and scores every piece of the vocabulary in their place.

    The scores are those of the encoder's own piece embeddings (tied weights).

    masking: what is hidden.
    next_sentence: whether there is a head that tells if two texts follow each other; its targets
        come from pretraining/tasks/masked_lm/examples.py.

    Raises E430 for another encoder than a Transformer.
    """

    kind = "masked_lm"

    def __init__(self, encoder: Encoder, masking: Masking, *, next_sentence: bool = False) -> None:
        super().__init__()
        if not isinstance(encoder, TransformerEncoder):
            raise wrong_encoder("MaskedLMObjective", "Transformer", encoder)
        self.masking = masking
        self.n_pieces = masking.n_pieces
        # In a list, so that the parameter is not this module's too.
        self.tied_embedding = [encoder.piece_embedding]
        self.dense = nn.Linear(encoder.width, encoder.width)
        self.norm = nn.LayerNorm(encoder.width, eps=encoder.norm.eps)
        self.bias = nn.Parameter(torch.empty(masking.n_pieces))
        self.next_sentence = NextSentenceHead(encoder.width) if next_sentence else None

    def make_targets(
        self, pieces: TextPieces, words: Sequence[str], rng: np.random.Generator
    ) -> Targets:
        masked, targets = self.masking(pieces.ids, pieces.starts, pieces.lengths, rng)
        return Targets(masked, targets, (NO_TARGET, NO_TARGET))

    def forward(self, layers: tuple[Tensor, ...], targets: Tensor, mask: Tensor) -> Losses:
        logits, chosen = self.score(layers, targets, mask)
        nll = F.cross_entropy(logits, chosen, reduction="sum")
        return Losses({"masked": nll}, {"masked": len(chosen)})

    def score(
        self, layers: tuple[Tensor, ...], targets: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score all pieces where there is a target. Returns scores (n, n_pieces), targets (n,)."""
        targets = targets[mask]  # (N,)
        is_target = targets != NO_TARGET
        h = self.norm(F.gelu(self.dense(layers[-1][is_target])))  # (n, D)
        (embedding,) = self.tied_embedding
        logits = F.linear(h, embedding.weight[: self.n_pieces], self.bias)  # (n, n_pieces)
        logits = logits.to(layers[-1].dtype)  # under torch.autocast products have another
        return logits, targets[is_target].long()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.dense.weight, 0.0, 0.02)
        nn.init.zeros_(self.dense.bias)
        self.norm.reset_parameters()
        nn.init.zeros_(self.bias)
        if self.next_sentence is not None:
            self.next_sentence.reset_parameters()

    def to_json(self) -> dict[str, Any]:
        return asdict(self.masking) | {"next_sentence": self.next_sentence is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any], encoder: Encoder) -> "MaskedLMObjective":
        next_sentence = data.get("next_sentence", False)
        masking = {name: value for name, value in data.items() if name != "next_sentence"}
        return cls(encoder, Masking(**masking), next_sentence=next_sentence)


class NextSentenceHead(nn.Module):
    """Computes two scores from the first step of each window, which stands for all of it.

    Example:
        logits = NextSentenceHead(width=256)(layers[-1], mask)  # (B, 2)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.output = nn.Linear(width, 2)

    def forward(self, top: Tensor, mask: Tensor) -> Tensor:
        """Return (B, 2). top: (N, D), the last layer of real steps; mask: (B, T)."""
        lengths = mask.sum(dim=1)
        first = top[torch.cumsum(lengths, dim=0) - lengths]  # (B, D)
        scores: Tensor = self.output(torch.tanh(self.dense(first)))
        return scores

    def reset_parameters(self) -> None:
        """Fill weights with normal values of deviation 0.02, biases with 0."""
        for linear in (self.dense, self.output):
            nn.init.normal_(linear.weight, 0.0, 0.02)
            nn.init.zeros_(linear.bias)
