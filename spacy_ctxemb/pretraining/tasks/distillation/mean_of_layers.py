"""The mean of some layers of an encoder."""

from collections.abc import Sequence

from torch import Tensor

from ....embedder.layer_mix import LayerMix, check_layer
from ....errors import Errors


class MeanOfLayers(LayerMix):
    """Computes the mean of layers, in any order; None for all. Raises E150 for wrong ones."""

    def __init__(self, n_layers: int, width: int, *, layers: Sequence[int] | None) -> None:
        super().__init__()
        self.layers = check_layers(range(n_layers) if layers is None else layers, n_layers)
        self.width = width

    def forward(self, layers: Tensor, document_lengths: Tensor) -> Tensor:
        return layers.mean(dim=0)


def check_layers(layers: Sequence[int], n_layers: int) -> list[int]:
    """Count layers from 0. Raises E150 for one that is not there, and for none at all."""
    if not layers:
        raise ValueError(Errors.E150.format(layer="layer in an empty list", n_layers=n_layers))
    return [check_layer(layer, n_layers) for layer in layers]
