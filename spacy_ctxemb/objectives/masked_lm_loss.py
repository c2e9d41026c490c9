"""Masked language modelling: predict pieces that were hidden.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1 and appendix A.1.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import Encoder, TransformerEncoder
from ..errors import Errors
from .next_sentence_loss import NextSentenceHead
from .objective import NO_TARGET, Ids, Ints, Losses, Objective, Targets
from .masking import N_BEFORE, NO_SPAN, draw_spans


class MaskedLMObjective(Objective):
    """Hides a share of the pieces, and scores every piece of the vocabulary in their place.

    The scores are those of the encoder's own piece embeddings (tied weights).

    mask_id: the id of the piece that hides others.
    special_ids: these are never targets, nor random replacements.
    n_pieces: ids from this one on are not in use.
    share: of pieces to predict. 0.15 in BERT, up to 0.4 for small encoders.
    whole_words: choose words, and hide all of their pieces. Words that share a piece are one.
    spans: choose runs of 1 to 10 words instead, see masking.py; each is hidden, replaced or
        left as a whole.
    next_sentence: whether there is a head that tells if two texts follow each other; its targets
        come from pretraining/pairs.py.
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
                Errors.E030.format(
                    objective="MaskedLMObjective",
                    wanted="Transformer",
                    found=type(encoder).__name__,
                )
            )
        if not 0.0 < share < 1.0:
            raise ValueError(Errors.E031.format(share=share))
        corruption = Corruption(mask_id, sorted(special_ids), n_pieces, share, whole_words, spans)
        if not len(corruption.ordinary_ids):
            raise ValueError(Errors.E047.format(n_special=len(special_ids)))
        self.corruption = corruption
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
        corrupted, targets = self.corruption(ids, starts, lengths, rng)
        return Targets(corrupted, targets, (NO_TARGET, NO_TARGET))

    def forward(self, layers: tuple[Tensor, ...], targets: Tensor, mask: Tensor) -> Losses:
        logits, chosen = self.score(layers, targets, mask)
        nll = F.cross_entropy(logits, chosen, reduction="sum")
        return Losses({"masked": nll}, {"masked": len(chosen)})

    def score(
        self, layers: tuple[Tensor, ...], targets: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The scores of all pieces where there is a target, and these n targets: (n, n_pieces),
        (n,)."""
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
        return asdict(self.corruption) | {"next_sentence": self.next_sentence is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any], encoder: Encoder) -> "MaskedLMObjective":
        return cls(encoder, **data)


@dataclass(frozen=True)
class Corruption:
    """Chooses targets; of these 80 % become the mask, 10 % another piece, 10 % stay.

    The fields are described at MaskedLMObjective.
    """

    mask_id: int
    special_ids: list[int]
    n_pieces: int
    share: float
    whole_words: bool
    spans: bool = False

    @cached_property
    def ordinary_ids(self) -> Ids:
        """The ids in use that are not special."""
        return np.setdiff1d(np.arange(self.n_pieces, dtype=np.int32), self.special_ids)

    def __call__(
        self, ids: Ids, starts: Ints, lengths: Ints, rng: np.random.Generator
    ) -> tuple[Ids, Ids]:
        """ids: (P,); starts, lengths: (W,). Returns corrupted ids and targets, (P,) each."""
        chosen, action = self._choose(starts, lengths, len(ids), rng)
        chosen &= ~np.isin(ids, self.special_ids)
        random_ids = rng.choice(self.ordinary_ids, size=len(ids))
        corrupted = ids.copy()
        corrupted[chosen & (action < 0.8)] = self.mask_id
        replaced = chosen & (action >= 0.9)
        corrupted[replaced] = random_ids[replaced]
        return corrupted, np.where(chosen, ids, NO_TARGET).astype(np.int32)

    def _choose(
        self, starts: Ints, lengths: Ints, n_pieces: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Whether each piece is chosen, and a number from 0 to 1 that tells what becomes of it.
        (P,) each"""
        words = find_words(starts, lengths, n_pieces=n_pieces)
        if self.spans:
            spans = draw_spans(n_pieces, self.share, rng)[words]  # (P,)
            return spans != NO_SPAN, rng.random(n_pieces + N_BEFORE)[spans]
        chosen = rng.random(n_pieces) < self.share
        return chosen[words] if self.whole_words else chosen, rng.random(n_pieces)


def find_words(starts: Ints, lengths: Ints, *, n_pieces: int) -> Ints:
    """The word of each piece, below P: pieces that a token has together, however many tokens share
    them, or a piece that no token has. starts, lengths: (W,). Returns (P,)."""
    has_pieces = lengths > 0
    first, last = starts[has_pieces], (starts + lengths)[has_pieces] - 1
    # Each token joins its pieces, one to the next.
    opened, closed = (np.bincount(at, minlength=n_pieces) for at in (first, last))
    joined = np.cumsum(opened - closed) > 0  # (P,), with the piece that follows
    return np.cumsum(~joined) - ~joined
