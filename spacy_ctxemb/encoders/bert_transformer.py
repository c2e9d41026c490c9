"""The Transformer encoder of BERT and its family.

Source: Vaswani et al. 2017, "Attention Is All You Need", section 3; Devlin et al. 2019, "BERT",
section 3; pre-norm after Xiong et al. 2020, "On Layer Normalization in the Transformer
Architecture", section 3.1.
"""

from functools import partial

from torch import Tensor, nn

from ..errors import Errors
from .attention import Bias, RelativeBias, Rotation, SelfAttention
from .basic_layers import EmbeddingTable, FeedForward, LayerNorm
from .kernels.linear import Linear
from .pack_rows_for_attention import Steps
from .transformer_blocks import Block, BlockEncoder

#: The rate after the embeddings, on attention weights and after each sub-layer, until
#: `set_dropout` sets another one.
DROPOUT = 0.1

#: Kinds of segment in a pair of texts.
N_SEGMENTS = 2


class TransformerEncoder(BlockEncoder):
    """Embeddings of pieces, positions and segments, then blocks of self-attention.

    Layer 0 is the normalised sum of the embeddings. With pre_norm, the last layer is normalised
    once more, since the stream inside the blocks is not.

    vocab_size: pieces in the vocabulary. 2,000 to 250,000.
    width: D, a multiple of n_heads. 128 to 1,024.
    n_blocks: blocks; the encoder returns one layer more. 2 to 24.
    n_heads: attention heads; D / n_heads is usually 32 or 64.
    feedforward_width: width inside a block's feed-forward layer, usually 4 D.
    max_length: the largest T, boundary pieces included. 128 to 512.
    n_segments: kinds of segment, for sentence pairs; 0 for no such embeddings. 2.
    embedding_width: width of the embeddings, where a linear layer brings them to D (ALBERT,
        ELECTRA); None for D.
    n_groups: blocks with weights of their own, which neighbouring blocks share (ALBERT: 1);
        None for n_blocks.
    n_position_buckets: buckets of distances that act on attention (MPNet: 32); None for none.
    activation: of the feed-forward layers: "gelu", "gelu_tanh", "relu" or "silu".
    pre_norm: normalise the input of each sub-layer (steadier to train) in place of its output
        (BERT).
    layer_norm_epsilon: added to the variance by which a layer norm divides. 1e-12 to 1e-5.

        encoder = TransformerEncoder(vocab_size=8000, width=128, n_blocks=2)
        encoder.reset_parameters()
        layers = encoder(ids, mask)  # ids, mask: (B, T)
    """

    def __init__(
        self,
        *,
        vocab_size: int = 8000,
        width: int = 256,
        n_blocks: int = 4,
        n_heads: int = 4,
        feedforward_width: int = 1024,
        max_length: int = 128,
        n_segments: int = 2,
        embedding_width: int | None = None,
        n_groups: int | None = None,
        n_position_buckets: int | None = None,
        activation: str = "gelu",
        pre_norm: bool = False,
        layer_norm_epsilon: float = 1e-12,
    ) -> None:
        super().__init__(locals())
        n_groups = n_blocks if n_groups is None else n_groups
        if not 1 <= n_groups <= n_blocks:
            raise ValueError(Errors.E107.format(n_groups=n_groups, n_blocks=n_blocks))
        E = embedding_width or width
        self.n_ids = vocab_size
        self.width = width
        self.activation = activation
        self.n_layers = n_blocks + 1
        self.max_length: int = max_length
        self.piece_embedding = EmbeddingTable(vocab_size, E)
        self.position_embedding = EmbeddingTable(max_length, E)
        self.segment_embedding = EmbeddingTable(n_segments, E) if n_segments else None
        self.norm = LayerNorm(E, eps=layer_norm_epsilon)
        self.embedding_projection = Linear(E, width) if width != E else None
        self.position_bias = (
            RelativeBias(n_position_buckets, n_heads) if n_position_buckets else None
        )
        self.dropout = nn.Dropout(DROPOUT)
        norm = partial(LayerNorm, width, eps=layer_norm_epsilon)
        self.blocks = nn.ModuleList(
            Block(
                attention=SelfAttention(width, n_heads, DROPOUT),
                attention_norm=norm(),
                feedforward=FeedForward(width, feedforward_width, activation),
                feedforward_norm=norm(),
                pre_norm=pre_norm,
                dropout=DROPOUT,
            )
            for _ in range(n_groups)
        )
        self.final_norm = norm() if pre_norm else None

    def forward(
        self,
        ids: Tensor,
        mask: Tensor,
        segments: Tensor | None = None,
        *,
        attention: list[Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """ids, mask, segments: (B, T); no segments means segment 0. Returns L of (N, D)."""
        steps = Steps(mask)
        return self.run_blocks(self.embed(ids, steps, segments), steps, attention)

    def embed(self, ids: Tensor, steps: Steps, segments: Tensor | None) -> Tensor:
        """Layer 0: context-free vectors. (N, D)"""
        steps.check_length(self.max_length)
        x = self.piece_embedding(ids[steps.mask]) + self.position_embedding(steps.positions)
        if segments is not None:
            x = x + check_segments(self.segment_embedding)(segments[steps.mask])
        elif self.segment_embedding is not None:
            x = x + self.segment_embedding.weight[0]
        x = self.dropout(self.norm(x))  # (N, E)
        if self.embedding_projection is not None:
            x = self.embedding_projection(x).to(x.dtype)  # (N, D)
        return x

    def prepare_positions(self, steps: Steps) -> list[tuple[Bias | None, Rotation | None]]:
        """The same bias in all blocks."""
        if self.position_bias is not None:
            for run in steps.runs:
                steps.prepare(self.position_bias, run.length)
        return [(self.position_bias, None)] * self.n_blocks

    def parameter_layers(self) -> dict[str, int]:
        """The bias of positions, which all blocks use, is of layer 1."""
        layers = super().parameter_layers()
        return layers | {name: 1 for name in layers if name.startswith("position_bias.")}


def check_segments(embedding: nn.Embedding | None) -> nn.Embedding:
    """The embeddings of segments. Raises E110 if they are too few for pairs of texts."""
    n_segments = 0 if embedding is None else embedding.num_embeddings
    if embedding is None or n_segments < N_SEGMENTS:
        raise ValueError(Errors.E110.format(n_segments=n_segments))
    return embedding
