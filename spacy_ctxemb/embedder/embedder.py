"""Everything between pieces and token vectors, as one PyTorch module."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import Encoder
from ..encoders.gradient_checkpointing import compute_again, has_parts, set_recomputation
from ..windows.pieces_to_windows import PieceBatch, Windows
from .batch_threads import count_batch_threads, map_batches
from .layer_mix import BuildMix, ChosenLayer, LayerMix, mix_tokens
from .output_types import VECTORS, Embedded, Wanted
from .rows import find_edges, find_tokens, in_order, list_places, sort_by_document, take_rows
from .text_pooling import pool_texts
from .token_pooling import get_pooling
from .training_precision import cast_products, check_precision


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

    def count_batch_threads(self) -> int:
        """How many batches prediction may compute at a time."""
        on_cpu = next(self.parameters()).device.type == "cpu"
        return count_batch_threads() if on_cpu and self.encoder.side_by_side else 1

    def works_in_segments(self, wanted: Wanted) -> bool:
        """Whether a token's vector needs nothing of its document but the windows of its pieces, and
        nothing is wanted but that and pieces."""
        is_local = not (self.wants_whole_calls or self.mix.whole_documents or self.mix.of_tokens)
        return is_local and wanted._replace(pieces=False, normalize=False) == VECTORS

    def forward(self, windows: Windows, wanted: Wanted = VECTORS) -> Embedded:
        """Vectors of all tokens, and what else is wanted. A token without pieces has zeros.

        Rows are those of the P pieces, and behind them two for each of the N windows: its first
        and its last step. Memory holds one vector a row, unless all layers are needed. With
        doc_pooling each sequence has a window at least.
        """
        maps: dict[int, Tensor] = {}
        attention = maps if wanted.attention else None
        layers = tokens = mixed = last = None
        if wanted.layers or wanted.boundaries or self.mix.whole_documents:
            every = range(self.encoder.n_layers)
            rows = self._run(windows, every, lambda layers: layers.transpose(0, 1), attention)
            layers = rows.transpose(0, 1)  # (L, P + 2 N, D)
            last = layers[-1]
        if layers is not None and (wanted.layers or self.mix.of_tokens):
            tokens = torch.stack([self._pool(layer, windows) for layer in layers])  # (L, W, D)
        if tokens is not None and self.mix.of_tokens:
            vectors = mix_tokens(self.mix, tokens, *find_tokens(windows))
        else:
            if layers is None:
                mixed, last = self._run_mix(windows, attention, with_last=wanted.states)
            else:
                mixed = self._mix_rows(layers, windows)
            vectors = self._pool(mixed, windows)
        documents = sequences = None
        if wanted.doc_pooling is not None and mixed is not None and windows.batches:
            pooled = pool_texts(mixed, windows, wanted.doc_pooling)
            documents, sequences = (self._finish_text(one, wanted) for one in pooled)
        return Embedded(
            self._project(vectors, windows),
            tokens if wanted.layers else None,
            None if layers is None or not wanted.boundaries else find_edges(layers, windows),
            documents,
            sequences,
            [maps[i] for i in sorted(maps)] if wanted.attention else None,
            None if last is None or not wanted.states else sort_by_document(last, windows),
        )

    def take_mix(self, mix: LayerMix) -> None:
        """Make vectors with another mix, and without a projection."""
        self.mix = mix.to(next(self.parameters()).device)
        self.width = mix.width
        self.projection = None

    def cast_products(self) -> AbstractContextManager[object]:
        """Inside, products of a forward pass with gradients are of training_precision."""
        precision = self.training_precision if torch.is_grad_enabled() else "fp32"
        return cast_products(precision, next(self.parameters()).device)

    def parts(self) -> list[Encoder | LayerMix | nn.Linear]:
        """What has parameters, and resets them by `reset_parameters`."""
        parts = [self.encoder, self.mix, self.projection]
        return [part for part in parts if part is not None]

    def _run_mix(
        self, windows: Windows, attention: dict[int, Tensor] | None, *, with_last: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The mix of all rows, (P + 2 N, mix.width), and with_last the last layer of them too,
        (P + 2 N, D)."""
        chosen, top = list(self.mix.layers), self.encoder.n_layers - 1
        if not with_last or isinstance(self.mix, ChosenLayer) and chosen == [top]:
            mixed = self._run(windows, chosen, self._mix_all, attention)
            return mixed, mixed

        def make_rows(layers: Tensor) -> Tensor:
            return torch.cat([self._mix_all(layers[:-1]), layers[-1]], dim=1)

        rows = self._run(windows, [*chosen, top], make_rows, attention)
        return rows[:, : self.mix.width].contiguous(), rows[:, self.mix.width :]

    def _run(
        self,
        windows: Windows,
        layers: Sequence[int],
        make_rows: Callable[[Tensor], Tensor],
        attention: dict[int, Tensor] | None,
    ) -> Tensor:
        """Run the encoder over all batches.

        layers: those to make rows of; make_rows: (l, r, D) to (r, ...).
        attention: takes the weights of each window by its number.
        Returns the rows of all pieces and windows, (P + 2 N, ...).
        """
        parameter = next(self.parameters())
        device = parameter.device
        if not windows.batches:
            return make_rows(parameter.new_zeros(len(layers), 0, self.encoder.width))

        def encode(batch: PieceBatch) -> Tensor:
            return make_rows(self._encode_batch(batch.to(device), layers, attention))

        def learn() -> Iterator[Tensor]:
            n_kept = 0
            for batch in windows.batches:
                n_kept += batch.mask.numel()
                again = self.recomputes_batches or n_kept > windows.budget
                if again and not self.encoder.stateful:
                    yield compute_again(self.encoder, encode, batch)
                else:
                    yield encode(batch)

        is_learning = torch.is_grad_enabled()
        parts = learn() if is_learning else map_batches(encode, windows.batches, windows.at_once)
        return in_order(parts, list_places(windows))

    def _encode_batch(
        self, batch: PieceBatch, layers: Sequence[int], attention: dict[int, Tensor] | None
    ) -> Tensor:
        """Some layers of the p pieces that a batch owns, then the first and the last step of each
        of its B windows. (l, p + 2 B, D)"""
        places = (batch.windows,) if self.encoder.stateful else ()
        maps: list[Tensor] = []
        # Only encoders that have attention take this argument.
        recording = {} if attention is None else {"attention": maps}
        with self.cast_products():
            encoded = self.encoder(batch.ids, batch.mask, *places, **recording)
        if attention is not None:
            on_cpu = [weights.cpu() for weights in maps]  # they are large
            attention.update(zip(batch.windows.tolist(), on_cpu, strict=True))
        chosen = [encoded[layer] for layer in layers]
        del encoded
        last = batch.mask.sum(dim=1).cumsum(dim=0) - 1  # (B,), of the N real steps
        first = torch.cat([last.new_zeros(1), last[:-1] + 1])
        rows = torch.cat([batch.rows.to(batch.mask.device), first, last])
        return take_rows(chosen, rows, next(self.parameters()).dtype)

    def _mix_all(self, layers: Tensor) -> Tensor:
        """All rows as one document. (l, r, D) to (r, mix.width)"""
        return self.mix(layers, torch.tensor([layers.size(1)]))

    def _mix_rows(self, layers: Tensor, windows: Windows) -> Tensor:
        """(L, P + 2 N, D) to (P + 2 N, mix.width); to (P, mix.width) where layer_norm "document"
        leaves windows out of its statistics."""
        if list(self.mix.layers) != list(range(len(layers))):
            layers = layers[list(self.mix.layers)]
        if not self.mix.whole_documents or self.mix.whole_batch:
            return self._mix_all(layers)
        return self.mix(layers[:, : windows.n_pieces], windows.document_lengths)

    def _pool(self, rows: Tensor, windows: Windows) -> Tensor:
        """Of each token the vector of its pieces. (P or P + 2 N, d) to (W, d)"""
        starts, lengths = windows.starts.to(rows.device), windows.lengths.to(rows.device)
        return self.pool(rows[: windows.n_pieces], starts, lengths)

    def _finish_text(self, pooled: Tensor, wanted: Wanted) -> Tensor:
        """(n, mix.width) to (n, width)."""
        if self.projection is not None:
            # The bias would give a vector to texts that have no rows.
            pooled = self.projection(pooled) * pooled.any(dim=1, keepdim=True)
        return F.normalize(pooled) if wanted.normalize else pooled

    def _project(self, tokens: Tensor, windows: Windows) -> Tensor:
        """(W, mix.width) to (W, width)."""
        if self.projection is None:
            return tokens
        # The bias would give a vector to tokens that have no pieces.
        has_pieces = windows.lengths.to(tokens.device) > 0
        return self.projection(tokens) * has_pieces[:, None]
