"""The Transformer encoder of ModernBERT.

Source: Warner et al. 2024, "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for
Fast, Memory Efficient, and Long Context Finetuning and Inference", section 2.1.
"""

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from .attention import Bias, Rotation, SelfAttention
from .base import Encoder, assign_layers
from .bert_initial_values import reset_transformer
from .embedding_table import EmbeddingTable
from .feedforward import GatedFeedForward
from .gradient_checkpointing import Part
from .inference_precision import set_block_precision, to_stream
from .layer_norm import LayerNorm
from .pack_rows_for_attention import Steps
from .relative_and_rotary_positions import build_local_mask, build_rotation

#: The rate of every dropout, until `set_dropout` sets another one.
DROPOUT = 0.0


class ModernTransformerEncoder(Encoder):
    """Rotary positions, pre-norm, gated feed-forward layers, no biases; attention is global in
    every third block and local in the others.

    Layer 0 is the normalised embedding of the pieces; the last layer is normalised.

    vocab_size, width, n_blocks, n_heads, activation, layer_norm_epsilon: see TransformerEncoder.
    feedforward_width: width of each of the two inner products of a block's feed-forward layer.
    max_length: the largest T. 1,024 to 8,192.
    local_window: steps that local attention sees, half of them before, half after. 128.
    global_every: the first block is global, and every so many blocks another one. 3.
    global_theta, local_theta: of the rotation of positions. 160,000 and 10,000.

        encoder = ModernTransformerEncoder(vocab_size=8000, width=128, n_blocks=6)
        encoder.reset_parameters()
        layers = encoder(ids, mask)  # ids, mask: (B, T)
    """

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "medium", "bf16", "int8")
    max_padding: ClassVar[float] = 1.0
    has_attention: ClassVar[bool] = True

    def __init__(
        self,
        *,
        vocab_size: int = 8000,
        width: int = 256,
        n_blocks: int = 6,
        n_heads: int = 4,
        feedforward_width: int = 384,
        max_length: int = 1024,
        local_window: int = 128,
        global_every: int = 3,
        global_theta: float = 160000.0,
        local_theta: float = 10000.0,
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-5,
    ) -> None:
        super().__init__(locals())
        self.n_ids = vocab_size
        self.n_characters = None
        self.width = width
        self.n_layers = n_blocks + 1
        self.max_length: int = max_length
        self.activation = activation
        self.local_window = local_window
        self.global_every = global_every
        self.thetas = {True: global_theta, False: local_theta}
        self.local_mask = partial(build_local_mask, reach=local_window // 2)
        self.piece_embedding = EmbeddingTable(vocab_size, width)
        self.norm = LayerNorm(width, eps=layer_norm_epsilon, bias=False)
        self.dropout = nn.Dropout(DROPOUT)
        self.blocks = nn.ModuleList(
            ModernBlock(
                width=width,
                n_heads=n_heads,
                feedforward_width=feedforward_width,
                activation=activation,
                is_first=i == 0,
                dropout=DROPOUT,
                layer_norm_epsilon=layer_norm_epsilon,
            )
            for i in range(n_blocks)
        )
        self.final_norm = LayerNorm(width, eps=layer_norm_epsilon, bias=False)
        self.head_width = width // n_heads
        self.stream_dtype: torch.dtype | None = None

    def forward(
        self, ids: Tensor, mask: Tensor, *, attention: list[Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """ids, mask: (B, T). Returns L of (N, D)."""
        steps = Steps(mask)
        layers = [self.embed(ids, steps)]
        maps: list[list[Tensor]] = []
        for block, bias, rotation in self.each_block(steps):
            if attention is not None:
                x = block.attention_norm(layers[-1])
                maps.append(block.attention.weights(x, steps, bias, rotation))
            layers.append(block(layers[-1], steps, bias, rotation))
        layers[-1] = self.final_norm(layers[-1])
        if attention is not None:
            attention.extend(torch.stack(window) for window in zip(*maps, strict=True))
        return tuple(layers)

    def embed(self, ids: Tensor, steps: Steps) -> Tensor:
        """Layer 0: context-free vectors. (N, D)"""
        steps.check_length(self.max_length)
        x = self.dropout(self.norm(self.piece_embedding(ids[steps.mask])))
        return to_stream(x, self.stream_dtype)

    def each_block(self, steps: Steps) -> Iterator[tuple["ModernBlock", Bias | None, Rotation]]:
        """The blocks in their order, with the mask and the rotation of their attention."""
        rotations = {
            is_global: build_rotation(steps.positions, self.head_width, theta)
            for is_global, theta in self.thetas.items()
        }
        for i, block in enumerate(self.blocks):
            is_global = i % self.global_every == 0
            bias = None if is_global else self.local_mask
            yield cast(ModernBlock, block), bias, rotations[is_global]

    def parameter_layers(self) -> dict[str, int]:
        layers = [[self.piece_embedding, self.norm], *([block] for block in self.blocks)]
        layers[-1].append(self.final_norm)
        return assign_layers(self, layers)

    def set_precision(self, precision: str) -> None:
        super().set_precision(precision)
        self.stream_dtype = set_block_precision(self.blocks, precision)

    def reset_parameters(self) -> None:
        """Normal with deviation 0.02, norms 1."""
        reset_transformer(self)


class ModernBlock(Part):
    """Pre-norm self-attention and a gated feed-forward layer.

    is_first: without a norm before attention, since embeddings are normalised.
    """

    def __init__(
        self,
        *,
        width: int,
        n_heads: int,
        feedforward_width: int,
        activation: str,
        is_first: bool,
        dropout: float,
        layer_norm_epsilon: float,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(width, n_heads, dropout, bias=False)
        self.attention_norm: nn.Module = (
            nn.Identity() if is_first else LayerNorm(width, eps=layer_norm_epsilon, bias=False)
        )
        self.feedforward = GatedFeedForward(width, feedforward_width, activation)
        self.feedforward_norm = LayerNorm(width, eps=layer_norm_epsilon, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, steps: Steps, bias: Bias | None, rotation: Rotation) -> Tensor:
        """x: (N, D), the rows of `steps`. (N, D)"""
        x = x + self.dropout(self.attention(self.attention_norm(x), steps, bias, rotation))
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))
