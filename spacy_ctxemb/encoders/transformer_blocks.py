"""What Transformers of all kinds share: blocks of self-attention, and how they run one by one."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import Bias, RelativeBias, Rotation, SelfAttention
from .base import Encoder, assign_layers
from .basic_layers import FeedForward, GatedFeedForward
from .derived_weights import Derived
from .gradient_checkpointing import Part
from .kernels.linear import Linear, has_onednn_product, round_up
from .largest_columns import find_largest_columns
from .pack_rows_for_attention import Steps


class Block(Part):
    """Self-attention and a feed-forward layer, each with a residual connection and a norm.

    pre_norm: normalise the input of each sub-layer in place of its output.
    """

    def __init__(
        self,
        *,
        attention: SelfAttention,
        attention_norm: nn.Module,
        feedforward: FeedForward | GatedFeedForward,
        feedforward_norm: nn.Module,
        pre_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = attention
        self.attention_norm = attention_norm
        self.feedforward = feedforward
        self.feedforward_norm = feedforward_norm
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, steps: Steps, bias: Bias | None, rotation: Rotation | None
    ) -> Tensor:
        """x: (N, D), the rows of `steps`. (N, D)"""
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.attention_norm(x), steps, bias, rotation))
            return x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        x = self.attention_norm(x + self.dropout(self.attention(x, steps, bias, rotation)))
        return self.feedforward_norm(x + self.dropout(self.feedforward(x)))

    def attention_weights(
        self, x: Tensor, steps: Steps, bias: Bias | None, rotation: Rotation | None
    ) -> list[Tensor]:
        """The attention weights of each window. (n_heads, T, T) each"""
        x = self.attention_norm(x) if self.pre_norm else x
        return self.attention.weights(x, steps, bias, rotation)


class BlockEncoder(Encoder):
    """An encoder whose layers are its embeddings, and the output of each block.

    Subclasses set `blocks`, of which neighbours may be one, and `final_norm` too, and implement
    `prepare_positions`. In their `forward` they compute layer 0, and call `run_blocks`.
    """

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "medium", "bf16", "int8")
    max_padding: ClassVar[float] = 1.0
    side_by_side: ClassVar[bool] = True
    has_attention: ClassVar[bool] = True

    n_characters = None
    blocks: nn.ModuleList
    final_norm: nn.Module | None
    #: What blocks pass on in inference; None for the type of the weights.
    stream_dtype: torch.dtype | None = None

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__(arguments)
        self._int8 = Derived(prepare_int8)

    @property
    def n_blocks(self) -> int:
        return self.n_layers - 1

    @abstractmethod
    def prepare_positions(self, steps: Steps) -> list[tuple[Bias | None, Rotation | None]]:
        """How positions act in the attention of each block."""

    def run_blocks(
        self, x: Tensor, steps: Steps, attention: list[Tensor] | None
    ) -> tuple[Tensor, ...]:
        """All layers, L of (N, D). x: (N, D), layer 0. attention: see `Encoder.has_attention`."""
        if self.stream_dtype is not None and not torch.is_grad_enabled():
            x = x.to(self.stream_dtype)
        if self.precision == "int8" and computes_in_8_bits(x):
            self._int8.get(self)
        N = len(x)
        if has_onednn_product(x) and not torch.is_grad_enabled() and round_up(N) != N:
            x = F.pad(x, (0, 0, 0, round_up(N) - N))
        layers = [x]
        maps: list[list[Tensor]] = []
        for block, positions in zip(self.list_blocks(), self.prepare_positions(steps), strict=True):
            if attention is not None:
                maps.append(block.attention_weights(layers[-1], steps, *positions))
            layers.append(block(layers[-1], steps, *positions))
        if self.final_norm is not None:
            layers[-1] = self.final_norm(layers[-1])
        if attention is not None:
            attention.extend(torch.stack(window) for window in zip(*maps, strict=True))
        return tuple(layer[:N] for layer in layers)

    def list_blocks(self) -> list[Block]:
        n, n_blocks = len(self.blocks), self.n_blocks
        return [self.blocks[i * n // n_blocks] for i in range(n_blocks)]  # type: ignore[misc] # they are Blocks

    def parameter_layers(self) -> dict[str, int]:
        before = [m for name, m in self.named_children() if name not in ("blocks", "final_norm")]
        layers: list[list[nn.Module | None]] = [[*before]]
        layers += [[block] for block in self.list_blocks()]
        layers[-1].append(self.final_norm)
        return assign_layers(self, layers)

    def set_precision(self, precision: str) -> None:
        """Set the types of products and of what blocks pass on.

        "medium" and "int8": products of bf16 factors, or of 8 bits, all else in fp32. In "int8" the
        largest columns of inputs stay in fp32 too. "bf16": everything in bf16, norms computed in
        fp32.
        """
        super().set_precision(precision)
        dtypes = {"medium": torch.bfloat16, "bf16": torch.bfloat16, "int8": torch.int8}
        for module in self.products().values():
            module.set_dtype(dtypes.get(precision))
        self._int8.drop()
        self.stream_dtype = torch.bfloat16 if precision == "bf16" else None

    def products(self) -> dict[str, Linear]:
        """The products of the blocks, by their names."""
        modules = self.blocks.named_modules(prefix="blocks")
        return {name: module for name, module in modules if isinstance(module, Linear)}

    def reset_parameters(self) -> None:
        """BERT's initial values: normal with deviation 0.02, norms 1, biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding | RelativeBias):
                nn.init.normal_(module.weight, 0.0, 0.02)
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
            bias = getattr(module, "bias", None)
            if isinstance(module, nn.Linear | nn.LayerNorm) and bias is not None:
                nn.init.zeros_(bias)


def computes_in_8_bits(x: Tensor) -> bool:
    """Whether `Linear` does, if it is to: on a CPU, without gradients, and not while compiling."""
    is_training = torch.is_grad_enabled()
    return x.device.type == "cpu" and not is_training and not torch.compiler.is_compiling()


def prepare_int8(encoder: BlockEncoder) -> None:
    """Tell each product of 8 bits which columns of its input stay exact."""
    products = {name: m for name, m in encoder.products().items() if m.dtype == torch.int8}
    columns = find_largest_columns(encoder, list(products))
    for module, found in zip(products.values(), columns, strict=True):
        module.set_dtype(torch.int8, found)
