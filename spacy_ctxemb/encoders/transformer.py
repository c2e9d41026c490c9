"""The Transformer encoder of BERT.

Source: Vaswani et al. 2017, "Attention Is All You Need", section 3; Devlin et al. 2019, "BERT",
section 3; pre-norm after Xiong et al. 2020, "On Layer Normalization in the Transformer
Architecture", section 3.1.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import Errors
from .encoder import Encoder


class TransformerEncoder(Encoder):
    """Embeddings of pieces, positions and segments, then blocks of self-attention.

    Layer 0 is the normalised sum of the embeddings. With pre_norm, the last layer is normalised
    once more, since the stream inside the blocks is not.

    n_ids: pieces in the vocabulary. 2,000 to 32,000.
    width: D, a multiple of n_heads. 128 to 768.
    n_blocks: blocks; the encoder returns one layer more. 2 to 12.
    n_heads: attention heads; D / n_heads is usually 32 or 64.
    feedforward_width: width inside a block's feed-forward layer, usually 4 D.
    max_length: the largest T, boundary pieces included. 128 to 512.
    n_segments: kinds of segment, for sentence pairs. 2.
    pre_norm: normalise the input of each sub-layer (steadier to train) in place of its output
        (BERT).
    dropout: rate after the embeddings, on attention weights and after each sub-layer. 0.1.
    """

    def __init__(
        self,
        *,
        n_ids: int,
        width: int,
        n_blocks: int,
        n_heads: int,
        feedforward_width: int,
        max_length: int = 512,
        n_segments: int = 2,
        pre_norm: bool = False,
        dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-12,
    ) -> None:
        super().__init__()
        if width % n_heads:
            raise ValueError(Errors.E004.format(width=width, n_heads=n_heads))
        self.n_ids = n_ids
        self.n_characters = None
        self.width = width
        self.n_layers = n_blocks + 1
        self.max_length = max_length
        self.piece_embedding = nn.Embedding(n_ids, width, padding_idx=0)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(n_segments, width)
        self.norm = nn.LayerNorm(width, eps=layer_norm_epsilon)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(
                width=width,
                n_heads=n_heads,
                feedforward_width=feedforward_width,
                pre_norm=pre_norm,
                dropout=dropout,
                layer_norm_epsilon=layer_norm_epsilon,
            )
            for _ in range(n_blocks)
        )
        self.final_norm = nn.LayerNorm(width, eps=layer_norm_epsilon) if pre_norm else None

    def forward(
        self, ids: Tensor, mask: Tensor, segments: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """ids, mask, segments: (B, T); no segments means segment 0. Returns L of (B, T, D)."""
        T = ids.size(1)
        if T > (self.max_length or T):
            raise ValueError(Errors.E005.format(length=T, max_length=self.max_length))
        x = self.piece_embedding(ids) + self.position_embedding.weight[:T]  # (B, T, D)
        if segments is None:
            x = x + self.segment_embedding.weight[0]
        else:
            x = x + self.segment_embedding(segments)
        x = self.dropout(self.norm(x))
        # Attention without a mask is faster, and most batches have no padding.
        attend = None if bool(mask.all()) else mask[:, None, None, :]  # (B, 1, 1, T)
        layers = [x]
        for block in self.blocks:
            layers.append(block(layers[-1], attend))
        if self.final_norm is not None:
            layers[-1] = self.final_norm(layers[-1])
        return tuple(layers)

    def reset_parameters(self) -> None:
        """BERT's initial values: normal with deviation 0.02, norms 1, biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02)
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
            if isinstance(module, nn.Linear | nn.LayerNorm):
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.piece_embedding.weight[0].zero_()


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each with a residual connection and a norm."""

    def __init__(
        self,
        *,
        width: int,
        n_heads: int,
        feedforward_width: int,
        pre_norm: bool,
        dropout: float,
        layer_norm_epsilon: float,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = SelfAttention(width, n_heads, dropout)
        self.attention_norm = nn.LayerNorm(width, eps=layer_norm_epsilon)
        self.feedforward = FeedForward(width, feedforward_width)
        self.feedforward_norm = nn.LayerNorm(width, eps=layer_norm_epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        """x: (B, T, D); attend: (B, 1, 1, T), True where attention may look. (B, T, D)."""
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.attention_norm(x), attend))
            return x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        x = self.attention_norm(x + self.dropout(self.attention(x, attend)))
        return self.feedforward_norm(x + self.dropout(self.feedforward(x)))


class SelfAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V over n_heads heads of width d = D / n_heads."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        B, T, D = x.shape
        qkv = self.query_key_value(x).view(B, T, 3, self.n_heads, D // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, n_heads, T, d) each
        rate = self.dropout.p if self.training else 0.0
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=attend, dropout_p=rate)
        return self.output(h.transpose(1, 2).reshape(B, T, D))


class FeedForward(nn.Module):
    """W_2 gelu(W_1 x + b_1) + b_2."""

    def __init__(self, width: int, feedforward_width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, feedforward_width)
        self.outer = nn.Linear(feedforward_width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(F.gelu(self.inner(x)))
