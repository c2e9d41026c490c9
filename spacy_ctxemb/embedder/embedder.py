"""Everything between pieces and token vectors, as one PyTorch module."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders.recomputation import compute_again, has_parts, set_recomputation
from ..windows.cut import PieceBatch, Windows
from .layer_mix import BuildMix, LayerMix, mix_tokens
from .text_pooling import pool_groups
from .token_pooling import get_pooling
from .training_precision import cast_products, check_precision


class Encoded(NamedTuple):
    """Layers of some windows. pieces: (L, P, D). boundaries: (L, N, 2, D), of N windows."""

    pieces: Tensor
    boundaries: Tensor


class Mixed(NamedTuple):
    """What a mix makes of them. pieces: (P, mix.width). boundaries: (N, 2, mix.width)."""

    pieces: Tensor
    boundaries: Tensor


class Embedder(nn.Module):
    """Encoder, mix of its layers, pooling of pieces, and an optional projection v = W h + b.

    encoder: turns windows into layers.
    build_mix: builds what makes one vector of a piece's layers.
    pooling: "mean", "first", "last" or "max" of a token's pieces.
    width: of the token vectors; where it differs from the mix's width, a projection is learned.
        None for the mix's width.
    training_precision: of the encoder's products in training; see training_precision.py.
    checkpoint_gradients: whether training computes the inner values of each block of the encoder,
        or of each batch where it has no blocks, again in the backward pass, to save memory.
    """

    def __init__(
        self,
        encoder: Encoder,
        build_mix: BuildMix,
        *,
        pooling: str,
        width: int | None,
        training_precision: str = "fp32",
        checkpoint_gradients: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.mix = build_mix(encoder.n_layers, encoder.width)
        self.pool = get_pooling(pooling)
        self.width = self.mix.width if width is None else width
        self.training_precision = check_precision(training_precision)
        set_recomputation(encoder, checkpoint_gradients)
        self.recomputes_batches = checkpoint_gradients and not has_parts(encoder)
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
        return self.pool_tokens(self.mix_windows(windows).pieces, windows)

    def mix_windows(self, windows: Windows) -> Mixed:
        """Mixed layers of all pieces and boundaries of at least one window, batch by batch, so
        that memory holds one vector a piece, not L."""

        def mix_batch(batch: PieceBatch) -> tuple[Tensor, Tensor]:
            encoded = self._encode_batch(batch, self.mix.layers)
            ends = encoded.boundaries.flatten(1, 2)  # (l, 2 N, D)
            lengths = [torch.tensor([x.size(1)]) for x in (encoded.pieces, ends)]
            return self.mix(encoded.pieces, lengths[0]), self.mix(ends, lengths[1])

        pieces, boundaries = self._collect(windows, mix_batch)
        return Mixed(pieces, boundaries.unflatten(0, (-1, 2)))

    def encode(self, windows: Windows) -> Encoded:
        """All layers of all pieces and boundaries."""
        if not windows.batches:
            blank = next(self.parameters()).new_zeros(self.encoder.n_layers, 0, self.encoder.width)
            return Encoded(blank, blank[:, :, None].expand(-1, -1, 2, -1))

        def encode_batch(batch: PieceBatch) -> tuple[Tensor, Tensor]:
            encoded = self._encode_batch(batch, range(self.encoder.n_layers))
            return encoded.pieces.transpose(0, 1), encoded.boundaries.flatten(1, 2).transpose(0, 1)

        pieces, boundaries = self._collect(windows, encode_batch)
        return Encoded(pieces.transpose(0, 1), boundaries.transpose(0, 1).unflatten(1, (-1, 2)))

    def combine(self, encoded: Encoded, windows: Windows) -> Tensor:
        """Vectors of all tokens from the layers of their pieces. (W, width)"""
        if self.mix.of_tokens:
            tokens = self.pool_layers(encoded.pieces, windows)  # (L, W, D)
            has_pieces, n_tokens = find_tokens(windows)
            mixed = mix_tokens(self.mix, tokens, has_pieces.to(tokens.device), n_tokens)
            return self._project(mixed, windows)
        return self.pool_tokens(self.mix_encoded(encoded, windows).pieces, windows)

    def mix_encoded(self, encoded: Encoded, windows: Windows) -> Mixed:
        """Mixed layers of all pieces, and of boundaries, which layer_norm "document" leaves out of
        its statistics."""
        layers, ends = encoded.pieces, encoded.boundaries.flatten(1, 2)
        if list(self.mix.layers) != list(range(len(layers))):
            layers, ends = (x[list(self.mix.layers)] for x in (layers, ends))
        if self.mix.whole_batch:
            everything = torch.cat([layers, ends], dim=1)
            mixed = self.mix(everything, torch.tensor([everything.size(1)]))
            pieces, boundaries = mixed.split([layers.size(1), ends.size(1)])
        else:
            pieces = self.mix(layers, windows.document_lengths)
            boundaries = self.mix(ends, torch.tensor([ends.size(1)]))
        return Mixed(pieces, boundaries.unflatten(0, (-1, 2)))

    def pool_documents(
        self, mixed: Mixed, windows: Windows, n_sequences: Sequence[int], how: str
    ) -> tuple[Tensor, Tensor]:
        """Vectors of n documents, (n, width), and of their S sequences, (S, width).

        n_sequences: (n,), each sequence with at least one window. how: see text_pooling.py.
        """
        device = mixed.pieces.device
        n_windows = windows.edges[:, 1] - windows.edges[:, 0] + 1  # (S,)
        sizes = torch.tensor(n_sequences)
        owners = torch.repeat_interleave(torch.arange(len(sizes)), sizes)  # (S,)
        n_in_documents = n_windows.new_zeros(len(sizes)).index_add(0, owners, n_windows)
        groups = (
            (windows.document_lengths, n_in_documents),
            (windows.sequence_lengths, n_windows),
        )
        documents, sequences = (
            pool_groups(*mixed, n_pieces.to(device), n.to(device), how) for n_pieces, n in groups
        )
        if self.projection is not None:
            return self.projection(documents), self.projection(sequences)
        return documents, sequences

    def pool_layers(self, layers: Tensor, windows: Windows) -> Tensor:
        """Each layer's vectors of all tokens. (L, P, D) to (L, W, D)."""
        starts, lengths = windows.starts.to(layers.device), windows.lengths.to(layers.device)
        return torch.stack([self.pool(layer, starts, lengths) for layer in layers])

    def take_mix(self, mix: LayerMix) -> None:
        """Make vectors with another mix, and without a projection."""
        self.mix = mix.to(next(self.parameters()).device)
        self.width = mix.width
        self.projection = None

    def cast_products(self) -> AbstractContextManager[object]:
        """Inside, products of a forward pass with gradients are of training_precision."""
        precision = self.training_precision if torch.is_grad_enabled() else "fp32"
        return cast_products(precision, next(self.parameters()).device)

    def reset_parameters(self) -> None:
        """Fill every parameter with its initial value, in place."""
        self.encoder.reset_parameters()
        self.mix.reset_parameters()
        if self.projection is not None:
            self.projection.reset_parameters()

    def pool_tokens(self, pieces: Tensor, windows: Windows) -> Tensor:
        """(P, mix.width) to (W, width)."""
        starts, lengths = windows.starts.to(pieces.device), windows.lengths.to(pieces.device)
        return self._project(self.pool(pieces, starts, lengths), windows)

    def _encode_batch(self, batch: PieceBatch, layers: Sequence[int]) -> Encoded:
        """Some layers of the pieces that a batch owns, and of all its boundaries."""
        places = (batch.windows,) if self.encoder.stateful else ()
        with self.cast_products():
            encoded = self.encoder(batch.ids, batch.mask, *places)
        chosen = [encoded[layer] for layer in layers]
        del encoded
        last = batch.mask.sum(dim=1).cumsum(dim=0) - 1  # (B,), of the N real steps
        first = torch.cat([last.new_zeros(1), last[:-1] + 1])
        ends = torch.stack([first, last], dim=1)  # (B, 2)
        dtype = next(self.parameters()).dtype
        boundaries = torch.stack([layer[ends].to(dtype) for layer in chosen])
        rows = batch.rows.to(batch.mask.device)
        return Encoded(take_rows(chosen, rows, dtype), boundaries)

    def _collect(
        self, windows: Windows, function: Callable[[PieceBatch], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """What a function makes of each batch: a row for each piece, and two for each window."""
        seconds: list[Tensor] = []

        def run(batches: Iterator[PieceBatch]) -> Iterator[Tensor]:
            n_kept = 0
            device = next(self.parameters()).device
            for batch in batches:
                batch = batch._replace(ids=batch.ids.to(device), mask=batch.mask.to(device))
                n_kept += batch.mask.numel()
                again = self.recomputes_batches or n_kept > windows.budget
                if again and torch.is_grad_enabled() and not self.encoder.stateful:
                    first, second = compute_again(self.encoder, function, batch)
                else:
                    first, second = function(batch)
                seconds.append(second.unflatten(0, (-1, 2)))
                yield first

        batches = windows.batches
        firsts = in_order(run(iter(batches)), [batch.pieces for batch in batches])
        ends = in_order(iter(seconds), [batch.windows for batch in batches])
        return firsts, ends.flatten(0, 1)

    def _project(self, tokens: Tensor, windows: Windows) -> Tensor:
        """(W, mix.width) to (W, width)."""
        if self.projection is None:
            return tokens
        # The bias would give a vector to tokens that have no pieces.
        has_pieces = windows.lengths.to(tokens.device) > 0
        return self.projection(tokens) * has_pieces[:, None]


def take_rows(layers: list[Tensor], rows: Tensor, dtype: torch.dtype) -> Tensor:
    """The rows of all layers, which are given up. (N, D) each; (p,). Returns (l, p, D)."""
    if torch.is_grad_enabled():
        return torch.stack([layer[rows].to(dtype) for layer in layers])
    # Layers are large: none is held longer than needed, nor copied twice.
    out = layers[0].new_empty(len(layers), len(rows), layers[0].size(1), dtype=dtype)
    for taken in reversed(out.unbind()):
        layer = layers.pop()
        if layer.dtype == dtype:
            torch.index_select(layer, 0, rows, out=taken)
        else:
            taken.copy_(layer[rows])
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
    document_ends = windows.document_lengths.cumsum(0)
    documents = torch.searchsorted(document_ends, windows.starts[has_pieces], right=True)
    return has_pieces, torch.bincount(documents, minlength=len(document_ends))
