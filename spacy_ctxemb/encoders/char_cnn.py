"""Context-free token vectors from characters: convolutions, highways, projection.

Source: Kim et al. 2016, "Character-Aware Neural Language Models", sections 2.2 and 3;
Peters et al. 2018, "Deep contextualized word representations" (ELMo), section 3.4.
"""

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import Errors
from .basic_layers import EmbeddingTable
from .kernels.linear import linear
from .kernels.max_over_time import MaxOverTime

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}

#: Words encoded together. Each takes 4 bytes for each position and filter of the largest count.
CHUNK_WORDS = 256


class CharacterCNN(nn.Module):
    """Encode rows of C character ids as vectors that do not depend on context.

    n_characters: size of the character vocabulary, the padding id 0 included.
    character_width: width of a character's embedding. ELMo: 16.
    filters: (width, count) of each convolution. Their counts add up to F. Widths of 1 to 7.
    activation: "relu" or "tanh", after the maximum over positions.
    n_highways: highway layers over the F values. 1 or 2.
    width: D.
    project: whether a linear layer projects the F values to D; None for where they differ.
    """

    def __init__(
        self,
        *,
        n_characters: int,
        character_width: int,
        filters: Sequence[Sequence[int]],
        activation: str,
        n_highways: int,
        width: int,
        project: bool | None = None,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(Errors.E100.format(name=activation, options=list(ACTIVATIONS)))
        n_filters = sum(count for _, count in filters)
        is_projected = needs_projection(
            "project_filters", project, "the number of filters", n_filters, width
        )
        self.activation = activation
        self.embedding = EmbeddingTable(n_characters, character_width, padding_idx=0)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(character_width, count, size) for size, count in filters
        )
        self.widest = max(size for size, _ in filters)
        self.highways = nn.ModuleList(Highway(n_filters) for _ in range(n_highways))
        self.projection = nn.Linear(n_filters, width) if is_projected else None

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (N, C), integers. Returns (N, D)."""
        lengths, order = find_lengths(ids).sort(descending=True)  # words of similar length together
        chunks = [
            self.encode(ids[rows, : longest + self.widest])
            for rows, longest in zip(
                order.split(CHUNK_WORDS), lengths[::CHUNK_WORDS].tolist() or [0], strict=True
            )
        ]
        return torch.cat(chunks)[order.argsort()]

    def encode(self, ids: Tensor) -> Tensor:
        """(n, C) to (n, D)"""
        h = self.convolve(ids)  # (n, F)
        for highway in self.highways:
            h = highway(h)
        if self.projection is None:
            return h
        return linear(h, self.projection.weight, self.projection.bias).to(h.dtype)

    def convolve(self, ids: Tensor) -> Tensor:
        """The largest value of each filter over all positions, activated. (n, C) to (n, F)."""
        x = self.embedding(ids)  # (n, C, character_width)
        pooled = [
            cast(Tensor, MaxOverTime.apply(x, convolution.weight, convolution.bias))  # type: ignore[no-untyped-call] # PyTorch's
            for convolution in cast(Iterable[nn.Conv1d], self.convolutions)
        ]
        return ACTIVATIONS[self.activation](torch.cat(pooled, dim=-1))

    def reset_parameters(self) -> None:
        """ELMo's initial values: bilm-tf's training code, `_build_word_char_embeddings`."""
        nn.init.uniform_(self.embedding.weight, -1.0, 1.0)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        for convolution in cast(Iterable[nn.Conv1d], self.convolutions):
            if self.activation == "relu":
                nn.init.uniform_(convolution.weight, -0.05, 0.05)
            else:
                fan_in = convolution.weight[0].numel()
                nn.init.normal_(convolution.weight, 0.0, math.sqrt(1.0 / fan_in))
            nn.init.zeros_(cast(Tensor, convolution.bias))
        for highway in cast(Iterable[Highway], self.highways):
            highway.reset_parameters()
        if self.projection is not None:
            fan_in = self.projection.in_features
            nn.init.normal_(self.projection.weight, 0.0, math.sqrt(1.0 / fan_in))
            nn.init.zeros_(self.projection.bias)


def needs_projection(setting: str, wanted: bool | None, name: str, found: int, width: int) -> bool:
    """Whether `found` values are projected to a width: as wanted; None for if they differ.

    name: of the values, in the message. Raises E106 for no projection where they differ.
    """
    if wanted is None:
        return found != width
    if not wanted and found != width:
        message = Errors.E106.format(setting=setting, name=name, found=found, width=width)
        raise ValueError(message)
    return wanted


def find_lengths(ids: Tensor) -> Tensor:
    """Characters of each word before the padding, the same at all words' ends. (N, C) to (N,)

    A convolution over padding alone gives the same value at all positions, so the maximum needs
    only one of them.
    """
    is_text = (ids != ids[:, -1:]).int()
    return is_text.flip(1).cummax(dim=1).values.sum(dim=1)


class Highway(nn.Module):
    """y = g * relu(W_t x + b_t) + (1 - g) * x, with the gate g = sigmoid(W_g x + b_g).

    Source: Srivastava et al. 2015, "Highway Networks", equation 3.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, width). Returns (N, width)."""
        gate = linear(x, self.gate.weight, self.gate.bias).to(x.dtype).sigmoid()
        transformed = linear(x, self.transform.weight, self.transform.bias).to(x.dtype).relu()
        return torch.lerp(x, transformed, gate)

    def reset_parameters(self) -> None:
        """A gate that starts mostly closed, so that x passes unchanged."""
        std = math.sqrt(1.0 / self.gate.in_features)
        nn.init.normal_(self.transform.weight, 0.0, std)
        nn.init.normal_(self.gate.weight, 0.0, std)
        nn.init.zeros_(self.transform.bias)
        nn.init.constant_(self.gate.bias, -2.0)
