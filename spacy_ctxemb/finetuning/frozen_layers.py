"""How the layers of an encoder are trained."""

import math
from dataclasses import dataclass

from ..encoders import Encoder
from ..errors import Errors
from .unfreezing import StepFunction, Unfreeze


@dataclass(frozen=True)
class LayerTraining:
    """Which layers keep their weights, and how fast the others learn.

    freeze_layers: the lowest layers that keep them, the context-free one first; 0 for none, the
        encoder's n_layers for all. Or a function of the step; what is not whole is rounded up.
    layer_decay: the learning rate of a layer as a share of that of the layer above it; the last
        layer has that of the encoder. 0.8 to 1.0. Source: Howard and Ruder 2018, "Universal
        Language Model Fine-tuning for Text Classification", section 3.2.
    learn_rate_factor: the learning rate of the encoder as a share of that of the optimizer.
        0.01 to 1.0.
    """

    freeze_layers: int | StepFunction = 0
    layer_decay: float = 1.0
    learn_rate_factor: float = 1.0

    def check(self, encoder: Encoder) -> None:
        """Refuse what does not fit an encoder."""
        if isinstance(self.freeze_layers, int):
            if not 0 <= self.freeze_layers <= encoder.n_layers:
                raise ValueError(
                    Errors.E150.format(freeze_layers=self.freeze_layers, n_layers=encoder.n_layers)
                )
        else:
            encoder.parameter_layers()  # wanted at a later step, if not at the first one
            if isinstance(self.freeze_layers, Unfreeze):
                found = self.freeze_layers.n_layers
                if found != encoder.n_layers:
                    raise ValueError(Errors.E156.format(found=found, n_layers=encoder.n_layers))
        if not 0.0 < self.layer_decay <= 1.0:
            raise ValueError(Errors.E151.format(layer_decay=self.layer_decay))
        if not 0.0 < self.learn_rate_factor < math.inf:
            raise ValueError(Errors.E138.format(factor=self.learn_rate_factor))
        self.list_frozen(encoder, 0)
        self.find_rates(encoder)

    @property
    def freezes(self) -> bool:
        """Whether any layer is frozen at any step."""
        return self.freeze_layers != 0

    def list_frozen(self, encoder: Encoder, step: int) -> set[str]:
        """The names of the encoder's parameters that keep their values at a step."""
        n = self._count_frozen(encoder, step)
        if not n:
            return set()
        if n == encoder.n_layers:
            return {name for name, _ in encoder.named_parameters()}
        layers = encoder.parameter_layers()
        return {name for name, layer in layers.items() if layer < n}

    def list_always_frozen(self, encoder: Encoder) -> set[str]:
        """The names of those that keep their values throughout; under a schedule, none."""
        return self.list_frozen(encoder, 0) if isinstance(self.freeze_layers, int) else set()

    def _count_frozen(self, encoder: Encoder, step: int) -> int:
        if isinstance(self.freeze_layers, int):
            return self.freeze_layers
        value = self.freeze_layers(step)
        if not 0 <= value <= encoder.n_layers:
            raise ValueError(Errors.E137.format(value=value, step=step, n_layers=encoder.n_layers))
        return math.ceil(value)

    def find_rates(self, encoder: Encoder) -> dict[str, float]:
        """Factors of the learning rate, by names of parameters."""
        if self.layer_decay == 1.0:
            if self.learn_rate_factor == 1.0:
                return {}
            return {name: self.learn_rate_factor for name, _ in encoder.named_parameters()}
        last = encoder.n_layers - 1
        return {
            name: self.learn_rate_factor * self.layer_decay ** (last - layer)
            for name, layer in encoder.parameter_layers().items()
        }
