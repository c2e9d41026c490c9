"""The Transformer encoder of ModernBERT.

Source: Warner et al. 2024, "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for
Fast, Memory Efficient, and Long Context Finetuning and Inference", section 2.1.
"""

from functools import partial

from torch import Tensor, nn

from .attention import Bias, Rotation, SelfAttention, build_local_mask, build_rotation
from .basic_layers import EmbeddingTable, GatedFeedForward, LayerNorm
from .pack_rows_for_attention import Steps
from .transformer_blocks import Block, BlockEncoder

#: The rate of every dropout, until `set_dropout` sets another one.
DROPOUT = 0.0


class ModernTransformerEncoder(BlockEncoder):
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
        self.width = width
        self.n_layers = n_blocks + 1
        self.max_length: int = max_length
        self.activation = activation
        self.global_every = global_every
        self.thetas = {True: global_theta, False: local_theta}
        self.local_mask = partial(build_local_mask, reach=local_window // 2)
        self.piece_embedding = EmbeddingTable(vocab_size, width)
        norm = partial(LayerNorm, width, eps=layer_norm_epsilon, bias=False)
        self.norm = norm()
        self.dropout = nn.Dropout(DROPOUT)
        self.blocks = nn.ModuleList(
            Block(
                attention=SelfAttention(width, n_heads, DROPOUT, bias=False),
                attention_norm=norm() if i else nn.Identity(),  # embeddings are normalised
                feedforward=GatedFeedForward(width, feedforward_width, activation),
                feedforward_norm=norm(),
                pre_norm=True,
                dropout=DROPOUT,
            )
            for i in range(n_blocks)
        )
        self.final_norm = norm()
        self.head_width = width // n_heads

    def forward(
        self, ids: Tensor, mask: Tensor, *, attention: list[Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """ids, mask: (B, T). Returns L of (N, D)."""
        steps = Steps(mask)
        steps.check_length(self.max_length)
        x = self.dropout(self.norm(self.piece_embedding(ids[steps.mask])))
        return self.run_blocks(x, steps, attention)

    def prepare_positions(self, steps: Steps) -> list[tuple[Bias | None, Rotation | None]]:
        """Rotations in all blocks, and a mask in those whose attention is local."""
        rotations = {
            is_global: build_rotation(steps.positions, self.head_width, theta)
            for is_global, theta in self.thetas.items()
        }
        kinds = [i % self.global_every == 0 for i in range(self.n_blocks)]
        return [(None if kind else self.local_mask, rotations[kind]) for kind in kinds]
