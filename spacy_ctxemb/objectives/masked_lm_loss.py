"""Masked language modelling: predict pieces that were hidden.

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
from ..errors import Errors
from .base import NO_TARGET, Ids, Ints, Losses, Objective, Targets
from .masking import Masking
from .next_sentence_loss import NextSentenceHead


class MaskedLMObjective(Objective):
    """Hides a share of the pieces, and scores every piece of the vocabulary in their place.

    The scores are those of the encoder's own piece embeddings (tied weights).

    mask_id: the id of the piece that hides others.
    special_ids: these are never targets, nor random replacements.
    n_pieces: ids from this one on are not in use.
    share: of pieces to predict. 0.15 in BERT, up to 0.4 for small encoders. Of these 80 % are
        hidden, 10 % replaced, 10 % left.
    whole_words: choose words, and hide all of their pieces. Words that share a piece are one.
    spans: choose runs of 1 to 10 words instead, see masking.py; each is hidden, replaced or
        left as a whole.
    next_sentence: whether there is a head that tells if two texts follow each other; its targets
        come from pretraining/text/sentence_pairs.py.

    Raises E430 for another encoder than a Transformer, E431 for a share outside 0 to 1, E131 if
    all pieces are special.
    """

    kind = "masked_lm"

    def __init__(
        self,
        encoder: Encoder,
        *,
        mask_id: int,
        special_ids: Sequence[int],
        n_pieces: int,
        share: float,
        whole_words: bool,
        spans: bool = False,
        next_sentence: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(encoder, TransformerEncoder):
            raise ValueError(
                Errors.E430.format(
                    objective="MaskedLMObjective",
                    wanted="Transformer",
                    found=type(encoder).__name__,
                )
            )
        if not 0.0 < share < 1.0:
            raise ValueError(Errors.E431.format(share=share))
        masking = Masking(mask_id, sorted(special_ids), n_pieces, share, whole_words, spans)
        if not len(masking.ordinary_ids):
            raise ValueError(Errors.E131.format(n_special=len(special_ids)))
        self.masking = masking
        self.n_pieces = n_pieces
        # In a list, so that the parameter is not this module's too.
        self.tied_embedding = [encoder.piece_embedding]
        self.dense = nn.Linear(encoder.width, encoder.width)
        self.norm = nn.LayerNorm(encoder.width, eps=encoder.norm.eps)
        self.bias = nn.Parameter(torch.empty(n_pieces))
        self.next_sentence = NextSentenceHead(encoder.width) if next_sentence else None

    def make_targets(
        self,
        ids: Ids,
        words: Sequence[str],
        starts: Ints,
        lengths: Ints,
        rng: np.random.Generator,
    ) -> Targets:
        masked, targets = self.masking(ids, starts, lengths, rng)
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
        return cls(encoder, **data)
