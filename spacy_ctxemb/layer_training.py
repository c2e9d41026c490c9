"""How the layers of an encoder are trained."""

from dataclasses import dataclass

from .encoders import Encoder
from .errors import Errors


@dataclass(frozen=True)
class LayerTraining:
    """Which layers keep their weights.

    freeze_layers: the lowest layers that keep them, the context-free one first; 0 for none, the
        encoder's n_layers for all.
    """

    freeze_layers: int = 0

    def check(self, encoder: Encoder) -> None:
        """Refuse what does not fit an encoder."""
        if not 0 <= self.freeze_layers <= encoder.n_layers:
            raise ValueError(
                Errors.E150.format(freeze_layers=self.freeze_layers, n_layers=encoder.n_layers)
            )
        self.list_frozen(encoder)

    def list_frozen(self, encoder: Encoder) -> set[str]:
        """The names of the encoder's parameters that keep their values."""
        if not self.freeze_layers:
            return set()
        if self.freeze_layers == encoder.n_layers:
            return {name for name, _ in encoder.named_parameters()}
        layers = encoder.parameter_layers()
        return {name for name, layer in layers.items() if layer < self.freeze_layers}
