"""Parts of encoders whose inner values are computed again in the backward pass, not kept for it.

Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 4.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

T = TypeVar("T")


class Part(nn.Module):
    """A block of an encoder.

    recomputes: whether training keeps its inputs and outputs only.

        set_recomputation(encoder, True)
        encoder.train()(ids, mask)[-1].sum().backward()  # each block runs twice
    """

    recomputes: bool = False

    def __call__(self, *arguments: Any) -> Any:
        if not (self.recomputes and torch.is_grad_enabled()):
            return super().__call__(*arguments)
        return compute_again(self, super().__call__, *arguments)


def has_parts(module: nn.Module) -> bool:
    """Whether a module can recompute part by part."""
    return any(isinstance(part, Part) for part in module.modules())


def set_recomputation(module: nn.Module, recomputes: bool) -> None:
    """Turn recomputation on or off, in all parts of a module."""
    for part in module.modules():
        if isinstance(part, Part):
            part.recomputes = recomputes


def compute_again(module: nn.Module, function: Callable[..., T], *arguments: Any) -> T:
    """The function's value. Its gradient comes from a second run, with the same dropout.

    module: all dropout that acts in the function is in it.
    """
    mode = Mode(module)
    result: T = checkpoint(
        function, *arguments, use_reentrant=False, context_fn=lambda: (nullcontext(), mode)
    )
    return result


class Mode(AbstractContextManager[None]):
    """The mode of a module and its rates of dropout, when this object is made.

    Inside `with` the module has them again: in the backward pass they may have changed.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.kept = self.read()

    def read(self) -> tuple[bool, list[float]]:
        return self.module.training, [module.p for module in self.dropouts]

    @property
    def dropouts(self) -> list[nn.Dropout]:
        return [module for module in self.module.modules() if isinstance(module, nn.Dropout)]

    def __enter__(self) -> None:
        self.now = self.read()
        self.set(*self.kept)

    def __exit__(self, *error: object) -> None:
        self.set(*self.now)

    def set(self, training: bool, rates: list[float]) -> None:
        self.module.train(training)
        for module, rate in zip(self.dropouts, rates, strict=True):
            module.p = rate
