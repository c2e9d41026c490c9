"""Everything between pieces and token vectors, as one PyTorch module."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .encoders import Encoder
from .layer_mix import BuildMix, LayerMix, mix_tokens
from .pooling import get_pooling
from .windows import Windows


class Encoded(NamedTuple):
    """All layers of some windows.

    pieces: (L, P, D). boundaries: (L, N, 2, D), of each of the N windows.
    """

    pieces: Tensor
    boundaries: Tensor


class Embedder(nn.Module):
    """Encoder, mix of its layers, pooling of pieces, and an optional projection v = W h + b.

    encoder: turns windows into layers.
    build_mix: builds what makes one vector of a piece's layers.
    pooling: "mean", "first", "last" or "max" of a token's pieces.
    width: of the token vectors; where it differs from the mix's width, a projection is learned.
        None for the mix's width.
    """

    def __init__(
        self, encoder: Encoder, build_mix: BuildMix, *, pooling: str, width: int | None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.mix = build_mix(encoder.n_layers, encoder.width)
        self.pool = get_pooling(pooling)
        self.width = self.mix.width if width is None else width
        self.projection: nn.Linear | None = None
        if self.width != self.mix.width:
            self.projection = nn.Linear(self.mix.width, self.width)

    @property
    def wants_whole_calls(self) -> bool:
        """Whether vectors depend on which documents are encoded together."""
        return self.encoder.stateful or self.mix.whole_batch

    def forward(self, windows: Windows) -> Tensor:
        """Vectors of all tokens. (W, width); a token without pieces has zeros."""
        if self.mix.whole_documents or not windows.batches:
            return self.combine(self.encode(windows), windows)

        def mix(encoded: Encoded) -> Tensor:
            return self.mix(encoded.pieces, windows.document_lengths)

        # Mixing batch by batch keeps one vector a piece in memory, not L.
        mixed = map(mix, self._encode_batches(windows))
        return self._pool_and_project(in_order(mixed, [b.pieces for b in windows.batches]), windows)

    def encode(self, windows: Windows) -> Encoded:
        """All layers of all pieces and boundaries."""
        if not windows.batches:
            blank = next(self.parameters()).new_zeros(self.encoder.n_layers, 0, self.encoder.width)
            return Encoded(blank, blank[:, :, None].expand(-1, -1, 2, -1))
        boundaries: list[Tensor] = []

        def take_pieces(encoded: Encoded) -> Tensor:
            boundaries.append(encoded.boundaries.transpose(0, 1))
            return encoded.pieces.transpose(0, 1)  # (p, L, D)

        # `map` does not hold the layers of a batch while the next one is encoded.
        parts = map(take_pieces, self._encode_batches(windows))
        pieces = in_order(parts, [batch.pieces for batch in windows.batches])
        ends = in_order(iter(boundaries), [batch.windows for batch in windows.batches])
        return Encoded(pieces.transpose(0, 1), ends.transpose(0, 1))

    def combine(self, encoded: Encoded, windows: Windows) -> Tensor:
        """Vectors of all tokens from the layers of their pieces. (W, width)"""
        layers = encoded.pieces
        if self.mix.whole_batch:
            everything = torch.cat([layers, encoded.boundaries.flatten(1, 2)], dim=1)
            mixed = self.mix(everything, torch.tensor([everything.size(1)]))
            return self._pool_and_project(mixed[: layers.size(1)], windows)
        if self.mix.of_tokens:
            tokens = self.pool_layers(layers, windows)  # (L, W, D)
            has_pieces, n_tokens = find_tokens(windows)
            mixed = mix_tokens(self.mix, tokens, has_pieces.to(tokens.device), n_tokens)
            return self._project(mixed, windows)
        mixed = self.mix(layers, windows.document_lengths)  # (P, mix.width)
        return self._pool_and_project(mixed, windows)

    def pool_layers(self, layers: Tensor, windows: Windows) -> Tensor:
        """Each layer's vectors of all tokens. (L, P, D) to (L, W, D)."""
        lengths = windows.lengths.to(layers.device)
        return torch.stack([self.pool(layer, lengths) for layer in layers])

    def take_mix(self, mix: LayerMix) -> None:
        """Make vectors with another mix, and without a projection."""
        self.mix = mix.to(next(self.parameters()).device)
        self.width = mix.width
        self.projection = None

    def reset_parameters(self) -> None:
        """Fill every parameter with its initial value, in place."""
        self.encoder.reset_parameters()
        self.mix.reset_parameters()
        if self.projection is not None:
            self.projection.reset_parameters()

    def _encode_batches(self, windows: Windows) -> Iterator[Encoded]:
        """Layers of the pieces that each batch owns, and of its boundaries."""
        device = next(self.parameters()).device
        for batch in windows.batches:
            ids, mask = batch.ids.to(device), batch.mask.to(device)
            places = (batch.windows,) if self.encoder.stateful else ()
            layers = [layer.flatten(0, 1) for layer in self.encoder(ids, mask, *places)]
            rows = batch.rows.to(device)
            first = torch.arange(len(mask), device=device) * mask.size(1)  # (B,)
            ends = torch.stack([first, first + mask.sum(dim=1) - 1], dim=1)  # (B, 2)
            boundaries = torch.stack([layer[ends] for layer in layers])
            yield Encoded(take_rows(layers, rows), boundaries)

    def _pool_and_project(self, pieces: Tensor, windows: Windows) -> Tensor:
        """(P, mix.width) to (W, width)."""
        lengths = windows.lengths.to(pieces.device)
        return self._project(self.pool(pieces, lengths), windows)

    def _project(self, tokens: Tensor, windows: Windows) -> Tensor:
        """(W, mix.width) to (W, width)."""
        if self.projection is None:
            return tokens
        # The bias would give a vector to tokens that have no pieces.
        has_pieces = windows.lengths.to(tokens.device) > 0
        return self.projection(tokens) * has_pieces[:, None]


def take_rows(layers: list[Tensor], rows: Tensor) -> Tensor:
    """The rows of all layers, which are given up. (B * T, D) each; (p,). Returns (L, p, D)."""
    if torch.is_grad_enabled():
        return torch.stack([layer[rows] for layer in layers])
    # Layers are large: none is held longer than needed, nor copied twice.
    out = layers[0].new_empty(len(layers), len(rows), layers[0].size(1))
    for taken in reversed(out.unbind()):
        torch.index_select(layers.pop(), 0, rows, out=taken)
    return out


def in_order(parts: Iterator[Tensor], places: Sequence[Tensor]) -> Tensor:
    """All rows of some parts, in order. parts: (p, ...) each; places: (p,), of their rows."""
    if torch.is_grad_enabled():
        collected = torch.cat(list(parts))
        return collected[torch.cat(list(places)).argsort().to(collected.device)]
    # Without gradients one large tensor is enough, filled part by part.
    first = next(parts)
    out = first.new_empty(sum(map(len, places)), *first.shape[1:])
    for rows, part in zip(places, chain([first], parts), strict=True):
        out[rows.to(part.device)] = part
    return out


def find_tokens(windows: Windows) -> tuple[Tensor, Tensor]:
    """Whether each token has pieces, (W,), and how many tokens of each document have, (n,)."""
    has_pieces = windows.lengths > 0
    token_ends = windows.lengths.cumsum(0)[has_pieces]
    document_ends = windows.document_lengths.cumsum(0)
    n_tokens = torch.searchsorted(token_ends, document_ends, right=True)
    return has_pieces, n_tokens.diff(prepend=n_tokens.new_zeros(1))
