"""Self-attention over packed windows.

Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import Errors
from .kernels.linear import Linear, linear
from .pack_rows_for_attention import Steps

#: T -> what is added to the scores of windows of T steps: (n_heads or 1, T, T).
Bias = Callable[[int], Tensor]
#: (N, 2, n_heads, d) -> the same: turns queries and keys by the angles of their positions.
Rotation = Callable[[Tensor], Tensor]

#: Whether the CPU has AMX. There PyTorch's fused attention is fastest at any length: it takes 20 to
#: 90 % of the time of the other two in fp32, 30 to 80 % in bf16.
HAS_AMX = torch.cpu._is_amx_tile_supported()

#: Whether it has AVX-512 alone. SHORT and LONG, of fp32 without gradients, were measured there.
#: With AVX2 fused attention takes 50 to 95 % of the time of the other two at any length.
HAS_AVX512_ALONE = torch.backends.cpu.get_cpu_capability() == "AVX512" and not HAS_AMX

#: Up to this many steps plain products are faster than fused attention, which works in blocks; for
#: bf16 see `is_plain`.
SHORT = 64

#: From this many steps on products of one head at a time are faster.
LONG = 320

#: Scores computed at a time where they are stored.
MAX_SCORES = 1 << 22


class SelfAttention(nn.Module):
    """softmax(Q K^T / sqrt(d) + bias) V over n_heads heads of width d = D / n_heads.

    Raises E103 if the heads cannot share the width evenly.
    """

    def __init__(self, width: int, n_heads: int, dropout: float, *, bias: bool = True) -> None:
        super().__init__()
        if n_heads < 1 or width % n_heads:
            raise ValueError(Errors.E103.format(width=width, n_heads=n_heads))
        self.n_heads = n_heads
        self.query_key_value = Linear(width, 3 * width, bias=bias)
        self.output = Linear(width, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        steps: Steps,
        bias: Bias | None = None,
        rotation: Rotation | None = None,
    ) -> Tensor:
        """x: (N, D), the rows of `steps`, which more rows may follow. (N, D)"""
        rate = self.dropout.p if self.training else 0.0
        parts = [
            attend(q, k, v, added, rate).transpose(1, 2).reshape(-1, x.size(1))
            for q, k, v, added in self.project(x, steps, bias, rotation)
        ]
        n_added = len(x) - sum(map(len, parts))
        if n_added:
            parts.append(x.new_zeros(n_added, x.size(1)))
        return self.output(parts[0] if len(parts) == 1 else torch.cat(parts))

    def weights(
        self, x: Tensor, steps: Steps, bias: Bias | None, rotation: Rotation | None
    ) -> list[Tensor]:
        """The attention weights of each window. (n_heads, T, T) each: from a step, to a step."""
        return [
            weights
            for q, k, _, added in self.project(x, steps, bias, rotation)
            for weights in find_weights(q, k, added).float()
        ]

    def project(
        self, x: Tensor, steps: Steps, bias: Bias | None, rotation: Rotation | None
    ) -> list[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Of each run of windows queries, keys and values, (B, n_heads, T, d), and what is added to
        the scores."""
        n_steps = sum(steps.lengths)
        qkv: Tensor = self.query_key_value(x)
        if n_steps < len(x):
            qkv = qkv[:n_steps]
        qkv = qkv.view(n_steps, 3, self.n_heads, -1)
        if rotation is not None:
            qk, v = qkv.split([2, 1], dim=1)
            qkv = torch.cat([rotation(qk), v], dim=1)
        found = []
        for run, rows in zip(steps.runs, steps.split(qkv), strict=True):
            q, k, v = rows.permute(2, 0, 3, 1, 4)
            found.append((q, k, v, None if bias is None else steps.bias(bias, run.length, like=q)))
        return found


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    """q, k, v: (B, n_heads, T, d); bias: (n_heads or 1, T, T). (B, n_heads, T, d)"""
    if q.device.type == "cpu" and is_plain(q, dropout):
        return attend_plainly(q, k, v, bias, dropout)
    if q.device.type == "cpu" and is_by_head(q, dropout):
        return attend_by_head(q, k, v, bias)
    return attend_fused(q, k, v, bias, dropout)


def is_plain(q: Tensor, dropout: float) -> bool:
    """Whether plain products are faster than PyTorch's fused attention on a CPU. There its
    gradient is computed in fp32, and so is everything with dropout."""
    is_low = q.dtype == torch.bfloat16
    if torch.is_grad_enabled() or dropout:
        return is_low and (q.size(2) < LONG or dropout > 0.0)
    return (is_low and not HAS_AMX) or (HAS_AVX512_ALONE and q.size(2) <= SHORT)


def is_by_head(q: Tensor, dropout: float) -> bool:
    """Whether one head at a time is faster than PyTorch's fused attention on a CPU."""
    if torch.is_grad_enabled() or dropout or torch.compiler.is_compiling():
        return False  # a compiler would unroll the loop
    return HAS_AVX512_ALONE and q.size(2) >= LONG


def attend_plainly(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """As `attend`, by matrix products of some windows at a time."""
    n = max(MAX_SCORES // (q.size(1) * q.size(2) ** 2), 1)
    parts = [
        torch.matmul(F.dropout(find_weights(*some[:2], bias), dropout), some[2])
        for some in zip(q.split(n), k.split(n), v.split(n), strict=True)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def attend_fused(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """As `attend`, by PyTorch's routine, which does not store the scores."""
    added = None if bias is None else bias.expand(len(q), *bias.shape)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=added, dropout_p=dropout)


def attend_by_head(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """As `attend`, one head at a time, so that the scores stay in the CPU's cache."""
    B, n_heads, T, d = q.shape
    q, k, values = (q * d**-0.5).contiguous(), k.contiguous(), v.transpose(-1, -2).contiguous()
    out = q.new_empty(B, T, n_heads, d)
    for b in range(B):
        for h in range(n_heads):
            scores = linear(q[b, h], k[b, h])  # (T, T)
            if bias is not None:
                scores += bias[h if len(bias) > 1 else 0]
            out[b, :, h] = linear(torch.softmax(scores, dim=-1), values[b, h])
    return out.transpose(1, 2)


def find_weights(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    """q, k: (B, n_heads, T, d); bias: (n_heads or 1, T, T). (B, n_heads, T, T)"""
    scores = torch.matmul(q * q.size(-1) ** -0.5, k.transpose(-1, -2))
    if bias is not None:
        scores = scores + bias
    # PyTorch's softmax of short rows is faster in fp32, and always more exact.
    dtype = torch.float32 if q.size(2) <= SHORT and q.dtype == torch.bfloat16 else None
    return torch.softmax(scores, dim=-1, dtype=dtype).to(q.dtype)


#: Distances from this one on share a bucket.
MAX_DISTANCE = 128


class RelativeBias(nn.Module):
    """A learned number for each head and bucket of distances, added to attention scores.

    Half of the buckets are for steps before, half for those after. Short distances have a
    bucket each, longer ones share buckets of logarithmic size.

    Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified
    Text-to-Text Transformer", section 2.1.
    """

    def __init__(self, n_buckets: int, n_heads: int) -> None:
        super().__init__()
        self.n_buckets = n_buckets
        self.weight = nn.Parameter(torch.empty(n_buckets, n_heads))

    def forward(self, length: int) -> Tensor:
        """(n_heads, T, T): from a step, to a step."""
        steps = torch.arange(length, device=self.weight.device)
        distances = steps - steps[:, None]  # (T, T), positive where the other step comes after
        return self.weight[find_buckets(distances, self.n_buckets)].permute(2, 0, 1)


def find_buckets(distances: Tensor, n_buckets: int) -> Tensor:
    """The bucket of each distance, in [0, n_buckets)."""
    half = n_buckets // 2
    n_exact = half // 2
    size = distances.abs()
    ratio = torch.log(size.clamp(min=1) / n_exact) / math.log(MAX_DISTANCE / n_exact)
    shared = (n_exact + (ratio * (half - n_exact)).long()).clamp(max=half - 1)
    return torch.where(size < n_exact, size, shared) + half * (distances > 0)


def build_rotation(positions: Tensor, width: int, theta: float) -> Callable[[Tensor], Tensor]:
    """Turns pairs of columns by angles that grow with the position.

    Source: Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding",
    section 3.2.2; column i is paired with i + d / 2.

    positions: (N,). width: d, of a head. theta: the slowest pair takes about 2 pi theta steps to
    turn once.
    """
    frequencies = theta ** (-torch.arange(0, width, 2, device=positions.device) / width)  # (d / 2,)
    angles = (positions[:, None] * frequencies)[:, None, None]  # (N, 1, 1, d / 2)
    return partial(rotate, cos=angles.cos(), sin=angles.sin())


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: (N, ..., d); cos, sin: (N, 1, 1, d / 2)."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def build_local_mask(length: int, *, reach: int) -> Tensor:
    """0 for steps up to `reach` away, minus infinity beyond. (1, T, T)"""
    steps = torch.arange(length)
    is_far = (steps - steps[:, None]).abs() > reach
    return torch.zeros(1, length, length).masked_fill(is_far, -torch.inf)
