"""Which layers of an encoder keep their weights, and how fast the others learn."""

import math
from dataclasses import dataclass

from ..encoders import Encoder
from ..errors import Errors
from ..schedules import StepFunction
from .gradual_unfreezing import Unfreeze


@dataclass(frozen=True)
class LayerTraining:
    """Which layers keep their weights, and how fast the others learn.

    freeze_layers: how many of the lowest layers are frozen, the context-free one first; 0 for
        none, the encoder's n_layers for all. Or a function of the step, whose result is rounded
        up.
    layer_decay: the learning rate of a layer as a share of that of the layer above it; the last
        layer has that of the encoder. 0.8 to 1.0. Source: Howard and Ruder 2018, "Universal
        Language Model Fine-tuning for Text Classification", section 3.2.
    learn_rate_factor: the learning rate of the encoder as a share of that of the optimizer.
        0.01 to 1.0.

    Example:
        training = LayerTraining(freeze_layers=1, layer_decay=0.9)
        training.check(encoder)
        training.list_frozen(encoder, step=0)
    """

    freeze_layers: int | StepFunction = 0
    layer_decay: float = 1.0
    learn_rate_factor: float = 1.0

    def check(self, encoder: Encoder) -> None:
        """Validate the settings for an encoder.

        Raises E200 or E201 for freeze_layers, E205 for layer_decay, E206 for
        learn_rate_factor.
        """
        if not isinstance(self.freeze_layers, int):
            encoder.parameter_layers()  # wanted at a later step, if not at the first one
        if isinstance(self.freeze_layers, Unfreeze):
            found = self.freeze_layers.n_layers
            if found != encoder.n_layers:
                raise ValueError(Errors.E201.format(found=found, n_layers=encoder.n_layers))
        self.list_frozen(encoder, 0)
        if not 0.0 < self.layer_decay <= 1.0:
            raise ValueError(Errors.E205.format(layer_decay=self.layer_decay))
        if not 0.0 < self.learn_rate_factor < math.inf:
            raise ValueError(Errors.E206.format(factor=self.learn_rate_factor))
        self.find_rates(encoder)

    @property
    def freezes(self) -> bool:
        return self.freeze_layers != 0

    def list_frozen(self, encoder: Encoder, step: int) -> set[str]:
        """List the names of the encoder's parameters that are frozen at a step.

        Raises E200 if a schedule gives fewer layers than 0 or more than there are.
        """
        n = self._count_frozen(encoder, step)
        if not n:
            return set()
        if n == encoder.n_layers:
            return {name for name, _ in encoder.named_parameters()}
        layers = encoder.parameter_layers()
        return {name for name, layer in layers.items() if layer < n}

    def list_always_frozen(self, encoder: Encoder) -> set[str]:
        """List the names of those that are frozen throughout; under a schedule, none."""
        return self.list_frozen(encoder, 0) if isinstance(self.freeze_layers, int) else set()

    def _count_frozen(self, encoder: Encoder, step: int) -> int:
        value: float
        if isinstance(self.freeze_layers, int):
            value, when = self.freeze_layers, ""
        else:
            value, when = self.freeze_layers(step), f" at step {step}"
        if not 0 <= value <= encoder.n_layers:
            found = f"{value}{when}"
            raise ValueError(Errors.E200.format(found=found, n_layers=encoder.n_layers))
        return math.ceil(value)

    def find_rates(self, encoder: Encoder) -> dict[str, float]:
        """Find the factors of the learning rate by names of parameters; others have 1.0."""
        if self.layer_decay == 1.0:
            if self.learn_rate_factor == 1.0:
                return {}
            return {name: self.learn_rate_factor for name, _ in encoder.named_parameters()}
        last = encoder.n_layers - 1
        return {
            name: self.learn_rate_factor * self.layer_decay ** (last - layer)
            for name, layer in encoder.parameter_layers().items()
        }
