"""Masked language modelling: predict pieces that were hidden.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1 and appendix A.1.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import Encoder, TransformerEncoder
from ..errors import Errors
from .objective import NO_TARGET, Ids, Losses, Objective, Targets


class MaskedLMObjective(Objective):
    """Hides a share of the pieces, and scores every piece of the vocabulary in their place.

    The scores are those of the encoder's own piece embeddings (tied weights).

    mask_id: the id of the piece that hides others.
    n_special: ids below this one are never targets, nor random replacements.
    n_pieces: ids from this one on are not in use.
    share: of pieces to predict. 0.15 in BERT, up to 0.4 for small encoders.
    whole_words: choose words, and hide all of their pieces.
    """

    kind = "masked_lm"

    def __init__(
        self,
        encoder: Encoder,
        *,
        mask_id: int,
        n_special: int,
        n_pieces: int,
        share: float,
        whole_words: bool,
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
        if n_pieces <= n_special:
            raise ValueError(Errors.E047.format(n_special=n_special))
        self.corruption = Corruption(mask_id, n_special, n_pieces, share, whole_words)
        self.n_pieces = n_pieces
        # In a list, so that the parameter is not this module's too.
        self.tied_embedding = [encoder.piece_embedding]
        self.dense = nn.Linear(encoder.width, encoder.width)
        self.norm = nn.LayerNorm(encoder.width, eps=encoder.norm.eps)
        self.bias = nn.Parameter(torch.empty(n_pieces))

    def make_targets(
        self, ids: Ids, words: Sequence[str], lengths: NDArray[np.int64], rng: np.random.Generator
    ) -> Targets:
        corrupted, targets = self.corruption(ids, lengths, rng)
        return Targets(corrupted, targets, (NO_TARGET, NO_TARGET))

    def forward(self, layers: tuple[Tensor, ...], targets: Tensor, mask: Tensor) -> Losses:
        targets = targets[mask]  # (N,)
        is_target = targets != NO_TARGET
        h = self.norm(F.gelu(self.dense(layers[-1][is_target])))  # (n, D)
        (embedding,) = self.tied_embedding
        logits = F.linear(h, embedding.weight[: self.n_pieces], self.bias)  # (n, n_pieces)
        nll = F.cross_entropy(logits, targets[is_target].long(), reduction="sum")
        return Losses({"masked": nll}, {"masked": int(is_target.sum())})

    def reset_parameters(self) -> None:
        nn.init.normal_(self.dense.weight, 0.0, 0.02)
        nn.init.zeros_(self.dense.bias)
        self.norm.reset_parameters()
        nn.init.zeros_(self.bias)

    def to_json(self) -> dict[str, Any]:
        return asdict(self.corruption)

    @classmethod
    def from_json(cls, data: dict[str, Any], encoder: Encoder) -> "MaskedLMObjective":
        return cls(encoder, **data)


@dataclass(frozen=True)
class Corruption:
    """Chooses targets; of these 80 % become the mask, 10 % another piece, 10 % stay.

    The fields are described at MaskedLMObjective.
    """

    mask_id: int
    n_special: int
    n_pieces: int
    share: float
    whole_words: bool

    def __call__(
        self, ids: Ids, lengths: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Ids, Ids]:
        """ids: (P,); lengths: (W,). Returns the corrupted ids and the targets, (P,) each."""
        if self.whole_words:
            chosen = np.repeat(rng.random(len(lengths)) < self.share, lengths)
        else:
            chosen = rng.random(len(ids)) < self.share
        chosen &= ids >= self.n_special
        action = rng.random(len(ids))
        random_ids = rng.integers(self.n_special, self.n_pieces, size=len(ids), dtype=np.int32)
        corrupted = ids.copy()
        corrupted[chosen & (action < 0.8)] = self.mask_id
        replaced = chosen & (action >= 0.9)
        corrupted[replaced] = random_ids[replaced]
        return corrupted, np.where(chosen, ids, NO_TARGET).astype(np.int32)
