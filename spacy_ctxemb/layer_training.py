"""How the layers of an encoder are trained."""

from dataclasses import dataclass

from .encoders import Encoder
from .errors import Errors


@dataclass(frozen=True)
class LayerTraining:
    """Which layers keep their weights, and how fast the others learn.

    freeze_layers: the lowest layers that keep them, the context-free one first; 0 for none, the
        encoder's n_layers for all.
    layer_decay: the learning rate of a layer as a share of that of the layer above it; the last
        layer has that of the optimizer. 0.8 to 1.0. Source: Howard and Ruder 2018, "Universal
        Language Model Fine-tuning for Text Classification", section 3.2.
    """

    freeze_layers: int = 0
    layer_decay: float = 1.0

    def check(self, encoder: Encoder) -> None:
        """Refuse what does not fit an encoder."""
        if not 0 <= self.freeze_layers <= encoder.n_layers:
            raise ValueError(
                Errors.E150.format(freeze_layers=self.freeze_layers, n_layers=encoder.n_layers)
            )
        if not 0.0 < self.layer_decay <= 1.0:
            raise ValueError(Errors.E151.format(layer_decay=self.layer_decay))
        self.list_frozen(encoder)
        self.find_rates(encoder)

    def list_frozen(self, encoder: Encoder) -> set[str]:
        """The names of the encoder's parameters that keep their values."""
        if not self.freeze_layers:
            return set()
        if self.freeze_layers == encoder.n_layers:
            return {name for name, _ in encoder.named_parameters()}
        layers = encoder.parameter_layers()
        return {name for name, layer in layers.items() if layer < self.freeze_layers}

    def find_rates(self, encoder: Encoder) -> dict[str, float]:
        """Factors of the learning rate, by names of parameters."""
        if self.layer_decay == 1.0:
            return {}
        last = encoder.n_layers - 1
        layers = encoder.parameter_layers()
        return {name: self.layer_decay ** (last - layer) for name, layer in layers.items()}
