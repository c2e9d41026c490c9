"""An encoder and a head over padded windows, in operations that ONNX has.

The encoders pack the real steps of a batch, and look at its lengths to do so; a graph cannot.
"""

import copy
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import TransformerEncoder
from ..encoders.kernels.linear import Linear
from ..encoders.transformer_blocks import Block, BlockEncoder
from ..heads.head_layers import Head

#: Added to the scores of padding; with minus infinity a step without neighbours would be no number.
FAR = -1e30


class PaddedModel(nn.Module):
    """States of the last layer, or scores where there is a head.

    reads: "pieces" for the scores of all steps, any other of a head for those of each window.
    """

    def __init__(self, encoder: BlockEncoder, head: Head | None, reads: str = "pieces") -> None:
        super().__init__()
        self.encoder = make_plain(copy.deepcopy(encoder)).eval()
        self.head = None if head is None else copy.deepcopy(head).eval()
        self.reads = reads

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids, mask, segments: (B, T), integers. (B, T, D), (B, T, C) or (B, C)"""
        x = self.embed(ids, segments)
        T = ids.size(1)
        steps: Any = SimpleNamespace(positions=torch.arange(T), runs=[])
        padding = torch.where(mask > 0, 0.0, FAR)[:, None, None]  # (B, 1, 1, T)
        places = self.encoder.prepare_positions(steps)
        for block, (bias, rotation) in zip(self.encoder.list_blocks(), places, strict=True):
            added = padding if bias is None else torch.clamp(padding + bias(T), min=2 * FAR)
            x = run_block(block, x, added, rotation)
        if self.encoder.final_norm is not None:
            x = self.encoder.final_norm(x)
        if self.head is None:
            return x
        if self.reads == "first":
            x = x[:, 0]
        elif self.reads != "pieces":
            if self.reads == "piece_mean":  # without the first and the last real step
                mask = F.pad((mask * F.pad(mask[:, 1:], (0, 1)))[:, 1:], (1, 0))
            weights = (mask / mask.sum(dim=1, keepdim=True).clamp(min=1))[:, :, None]
            x = (x * weights).sum(dim=1)
        scores: Tensor = self.head(x)
        return scores

    def embed(self, ids: Tensor, segments: Tensor | None) -> Tensor:
        """Layer 0. (B, T, D)"""
        encoder: Any = self.encoder
        x = encoder.piece_embedding(ids)
        if isinstance(self.encoder, TransformerEncoder):
            x = x + encoder.position_embedding(torch.arange(ids.size(1)))
            if segments is not None:
                x = x + encoder.segment_embedding(segments)
            elif encoder.segment_embedding is not None:
                x = x + encoder.segment_embedding.weight[0]
        x = encoder.norm(x)
        projection = getattr(encoder, "embedding_projection", None)
        return cast(Tensor, x if projection is None else projection(x))


def run_block(block: Block, x: Tensor, added: Tensor, rotation: Any) -> Tensor:
    """As `Block.forward`. x: (B, T, D); added: to the scores, (B, n_heads or 1, T or 1, T)."""
    if block.pre_norm:
        x = x + attend(block.attention, block.attention_norm(x), added, rotation)
        return x + block.feedforward.run(block.feedforward_norm(x))
    x = block.attention_norm(x + attend(block.attention, x, added, rotation))
    return block.feedforward_norm(x + block.feedforward.run(x))


def attend(attention: Any, x: Tensor, added: Tensor, rotation: Any) -> Tensor:
    """As `SelfAttention.forward`. (B, T, D) to (B, T, D)"""
    B, T, D = x.shape
    qkv = attention.query_key_value(x).view(B, T, 3, attention.n_heads, D // attention.n_heads)
    if rotation is not None:
        qkv = torch.cat([rotation(qkv[:, :, :2]), qkv[:, :, 2:]], dim=2)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, n_heads, T, d) each
    scores = torch.matmul(q * q.size(-1) ** -0.5, k.transpose(-1, -2)) + added
    y = torch.matmul(torch.softmax(scores, dim=-1), v)
    return cast(Tensor, attention.output(y.transpose(1, 2).reshape(B, T, D)))


def make_plain(encoder: BlockEncoder) -> BlockEncoder:
    """Let PyTorch's own layers have the weights of ours, which choose routines of a CPU."""
    for module in list(encoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, Linear):
                plain = nn.Linear(child.in_features, child.out_features, bias=False)
                plain.weight, plain.bias = child.weight, child.bias
                setattr(module, name, plain)
    return encoder
