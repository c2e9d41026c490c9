"""From the L layers of an encoder to one vector a piece.

Each class takes the encoder's number of layers and width, and says in `width` how wide its
output is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..encoders.registered_encoders import with_settings_of
from ..errors import Errors


class LayerMix(nn.Module, ABC):
    """Combines layers of an encoder. width: of the result. layers: those it takes, in its order.

    whole_documents: whether `forward` needs all pieces of a document at once.
    whole_batch: whether it needs those of all documents, and their boundaries, as one document.
    of_tokens: whether it wants tokens, pooled from pieces, in their place.
    """

    width: int
    layers: Sequence[int]
    whole_documents = False
    whole_batch = False
    of_tokens = False

    @abstractmethod
    def forward(self, layers: Tensor, document_lengths: Tensor) -> Tensor:
        """Combine.

        layers: (l, P, D), those of `layers`. document_lengths: (n,), pieces of each.
        Returns (P, width).
        """

    def reset_parameters(self) -> None:
        """Fill every parameter with its initial value; most mixes have none."""


#: Builds a mix for an encoder of n_layers and width.
BuildMix = Callable[[int, int], LayerMix]


class LayerWeights(NamedTuple):
    """What a mix has learned. shares: of each layer, the context-free one first; add up to 1."""

    shares: list[float]
    gamma: float


class ScalarMix(LayerMix):
    """All layers in learned shares: gamma * sum_l softmax(w)_l h_l, with learned w and gamma.

    Source: Peters et al. 2018, "Deep contextualized word representations", equation 1.

    layer_norm: first subtract from each layer its mean and divide by its deviation. "document":
        both over all pieces and columns of a document, so that a vector never depends on other
        documents. "batch": over those of all documents that are encoded in one call, and over
        their sentence boundaries, as AllenNLP does. None for layers as they are.
    """

    layer_norms: ClassVar[tuple[str | None, ...]] = (None, "document", "batch")

    def __init__(self, n_layers: int, width: int, *, layer_norm: str | None = None) -> None:
        super().__init__()
        if layer_norm not in self.layer_norms:
            options = [name or "null" for name in self.layer_norms]
            raise ValueError(Errors.E152.format(name=layer_norm, options=options))
        self.width = width
        self.layers = range(n_layers)
        self.layer_norm = layer_norm
        self.whole_documents = self.of_tokens or layer_norm is not None
        self.whole_batch = layer_norm == "batch"
        self.weights = nn.Parameter(torch.empty(n_layers))
        self.gamma = nn.Parameter(torch.empty(1))

    def forward(self, layers: Tensor, document_lengths: Tensor) -> Tensor:
        scales = self.gamma * torch.softmax(self.weights, dim=0)  # (L,)
        if self.layer_norm is None:
            return torch.tensordot(scales, layers, dims=1)  # (P, D)
        return mix_normalised(layers, document_lengths, scales)

    def reset_parameters(self) -> None:
        """A plain average."""
        nn.init.zeros_(self.weights)
        nn.init.ones_(self.gamma)

    def layer_weights(self) -> LayerWeights:
        shares = torch.softmax(self.weights.detach(), dim=0)
        return LayerWeights(shares.tolist(), self.gamma.item())


def mix_normalised(layers: Tensor, document_lengths: Tensor, scales: Tensor) -> Tensor:
    """sum_l scales_l (h_l - mean_l) / deviation_l, with mean and deviation of each document.

    layers: (L, P, D); scales: (L,). Returns (P, D). Normalised layers are never stored: the sum
    is one of the layers themselves, with other scales, minus a number.
    """
    epsilon = 1e-13
    parts = layers.split([n for n in document_lengths.tolist() if n], dim=1)
    mixed = []
    for part in parts:  # (L, p, D)
        variance, mean = torch.var_mean(part, dim=(1, 2), correction=0)  # (L,)
        normal = scales / torch.sqrt(variance + epsilon)
        total = torch.zeros_like(part[0])  # (p, D)
        for scale, layer in zip(normal, part, strict=True):  # one layer at a time, for memory
            total.addcmul_(scale, layer)
        mixed.append(total.sub_((normal * mean).sum()))
    if len(mixed) == 1:  # one Doc may be very long
        return mixed[0]
    return torch.cat([layers.new_zeros(0, layers.size(2)), *mixed])


class TokenMix(ScalarMix):
    """ScalarMix of tokens, after pooling.

    A component on top of a shared encoder gets no more than tokens. Where a token has several
    pieces this differs from mixing before pooling: with pooling "max", and with layer_norm.

    layer_norm: "document" for normalised layers as in ScalarMix, with the mean and deviation of
        all tokens of a document that have pieces; None for layers as they are.
    """

    of_tokens = True
    layer_norms: ClassVar[tuple[str | None, ...]] = (None, "document")

    @property
    def n_layers(self) -> int:
        return len(self.weights)


def mix_tokens(
    mix: LayerMix, layers: Tensor, has_vector: Tensor, document_lengths: Tensor
) -> Tensor:
    """The mix of all tokens; one without a vector keeps its zeros.

    layers: (L, W, D); has_vector: (W,); document_lengths: (n,), tokens of each that have one.
    Returns (W, mix.width).
    """
    places = has_vector.nonzero().squeeze(1).to(layers.device)
    mixed = mix(layers[:, places], document_lengths)
    return mixed.new_zeros(len(has_vector), mix.width).index_copy(0, places, mixed)


class ChosenLayer(LayerMix):
    """One layer.

    layer: 0 for the context-free one, -1 for the last.
    """

    def __init__(self, n_layers: int, width: int, *, layer: int = -1) -> None:
        super().__init__()
        self.width = width
        self.layers = [check_layer(layer, n_layers)]

    def forward(self, layers: Tensor, document_lengths: Tensor) -> Tensor:
        return layers[0]


class LastLayers(LayerMix):
    """The average of the last n layers.

    n: from 1 to the number of the encoder's layers.
    """

    def __init__(self, n_layers: int, width: int, *, n: int = 4) -> None:
        super().__init__()
        if not 1 <= n <= n_layers:
            raise ValueError(Errors.E150.format(layer=f"n = {n}", n_layers=n_layers))
        self.width = width
        self.layers = range(n_layers - n, n_layers)

    def forward(self, layers: Tensor, document_lengths: Tensor) -> Tensor:
        return layers.mean(dim=0)


class ConcatLayers(LayerMix):
    """Several layers side by side.

    layers: their numbers, in the order of the result; 0 for the context-free one, -1 for the
        last; None for all.
    """

    def __init__(self, n_layers: int, width: int, *, layers: Sequence[int] | None = None) -> None:
        super().__init__()
        chosen = range(n_layers) if layers is None else layers
        if not chosen:
            raise ValueError(Errors.E150.format(layer="layer in an empty list", n_layers=n_layers))
        self.layers = [check_layer(layer, n_layers) for layer in chosen]
        self.width = width * len(self.layers)

    def forward(self, layers: Tensor, document_lengths: Tensor) -> Tensor:
        return torch.cat(layers.unbind(), dim=-1)


def check_layer(layer: int, n_layers: int) -> int:
    """The layer's index from 0, or an error where there is no such layer."""
    if not -n_layers <= layer < n_layers:
        raise ValueError(Errors.E150.format(layer=f"layer {layer}", n_layers=n_layers))
    return layer % n_layers


def from_config(mix: type[LayerMix]) -> Callable[..., BuildMix]:
    """What a config calls for a mix: it has the settings of the class, and no sizes."""

    def build(**settings: Any) -> BuildMix:
        return partial(mix, **settings)

    return with_settings_of(mix, build, returns=BuildMix, without=("n_layers", "width"))


build_scalar_mix = from_config(ScalarMix)
build_token_mix = from_config(TokenMix)
build_layer = from_config(ChosenLayer)
build_last_layers = from_config(LastLayers)
build_concat_layers = from_config(ConcatLayers)
