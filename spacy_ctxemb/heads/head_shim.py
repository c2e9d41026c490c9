"""A head inside a Thinc model: its values, and passes."""

from typing import Any, cast

import safetensors.torch
import torch
from thinc.api import Model, get_torch_default_device
from torch import Tensor, nn

from ..thinc_model.parameter_values import load_module
from ..thinc_model.torch_module_shim import TorchShim
from ..torch_state import in_ordinary_torch
from .head_layers import Head

#: The standard deviation of the first weights. Source: Devlin et al. 2019, "BERT", the program.
DEVIATION = 0.02


class HeadShim(TorchShim):
    """Holds a head; one without values until its classes are known. settings: of Head.

    head: one that is there already.
    """

    @in_ordinary_torch
    def __init__(self, settings: dict[str, Any], head: Head | None = None) -> None:
        self.settings = settings
        with torch.device("meta"):
            super().__init__(Head(1, 1, **settings) if head is None else head)

    @property
    def n_classes(self) -> int:
        """C, or 0 as long as it is not known."""
        return cast(Head, self.module).output.out_features if self.is_materialised else 0

    @in_ordinary_torch
    def build(self, width: int, n_classes: int) -> None:
        """Begin with random weights, and biases of 0. Optimizers know nothing of a new size."""
        before = {name: x.shape for name, x in self.module.named_parameters()}
        head = Head(width, n_classes, **self.settings)
        for layer in head.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=DEVIATION)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if before != {name: x.shape for name, x in head.named_parameters()}:
            self.take_new_id()
        self._model = head.to(get_torch_default_device()).eval()

    @in_ordinary_torch
    def grow(self, n_classes: int) -> None:
        """Add classes behind those that are there, with random weights."""
        before = self.get_tensors()
        self.build(find_width(before), n_classes)
        after = self.get_tensors()
        for name, old in before.items():
            after[name] = torch.cat([old, after[name][len(old) :]])
        load_module(self.module, after)

    @in_ordinary_torch
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take weights, and from them the number of classes."""
        self.build(find_width(tensors), len(tensors["output.weight"]))
        load_module(self.module, tensors)

    def from_bytes(self, data: bytes) -> "HeadShim":
        tensors = safetensors.torch.load(data)
        if tensors:
            self.load(tensors)
            return self
        return super().from_bytes(data)

    def score(self, states: Tensor, dropout: float | None, *, is_train: bool) -> Tensor:
        """(n, D) to (n, C)."""
        if not is_train:
            return cast(Tensor, self.module(states))
        if dropout is not None:
            cast(Head, self.module).dropout.p = dropout
        self.module.train()
        try:
            return cast(Tensor, self.module(states))
        finally:
            self.module.eval()


def find_width(tensors: dict[str, Tensor]) -> int:
    """The width of the states that a head of these weights reads."""
    return tensors.get("dense.weight", tensors["output.weight"]).size(1)


def get_head(model: Model[Any, Any]) -> HeadShim:
    """The head of a model, also of a copy."""
    return cast(HeadShim, model.shims[0])
