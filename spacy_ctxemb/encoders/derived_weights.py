"""What is computed from a module's weights once, and again when they have changed."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from ..fork_lock import LOCK

Module = TypeVar("Module", bound=nn.Module)
Value = TypeVar("Value")


class Derived(Generic[Module, Value]):
    """A value made of the weights of a module; not part of its state, and not copied with it.

    PyTorch counts the changes of a tensor. Those it does not see, made through NumPy, `.data` or a
    fused optimizer, call for `drop`; see `Encoder.weights_changed`, and `Encoder.train`.
    """

    def __init__(self, build: Callable[[Module], Value]) -> None:
        self.build = build
        self._held: tuple[object, Value] | None = None

    def get(self, module: Module) -> Value:
        versions = [
            (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
            for weight in module.parameters()
        ]
        held = self._held  # another thread may replace it meanwhile
        if held is None or held[0] != versions:
            with LOCK:  # threads that begin together wait for the first one's
                held = self._held
                if held is None or held[0] != versions:
                    held = self._held = versions, self.make(module)
        return held[1]

    def make(self, module: Module) -> Value:
        """A value of ordinary tensors, which later calls under any mode of autograd can use."""
        with torch.inference_mode(False), torch.no_grad():
            return self.build(module)

    def drop(self) -> None:
        self._held = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Derived, (self.build,)
