"""The contract of every encoder, and the legend of axes for the whole package.

Axes:
    B windows (sequences of one batch)
    T steps of a window, its two boundary pieces included
    N real steps of a batch of windows, window by window; no padding
    P pieces: all pieces of all documents, boundary pieces not included
    W tokens of all documents
    C characters of a piece
    L layers, the context-free one first
    D width
    V vocabulary
"""

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ..errors import Errors
from .derived_weights import Derived


class Encoder(nn.Module, ABC):
    """Turns windows of piece ids into L layers of vectors, all of one width.

    Subclasses set the attributes below and implement `forward`, `reset_parameters` and
    `parameter_layers`. A constructor has the names and defaults of the config, and begins with
    `super().__init__(locals())`. It allocates parameters only; `reset_parameters` fills them. So
    an encoder can be built on PyTorch's meta device at no cost and filled once, with random
    values or weights.

    settings: the arguments of the constructor, as JSON has them.
    n_ids: ids are in [0, n_ids).
    n_characters: C, where a piece is a row of character ids; None where it is one id.
    width: D.
    n_layers: L, the context-free layer included.
    max_length: the largest T; None where any length will do.
    """

    #: Precisions of inference, the exact one first.
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    #: Largest share of padding in a batch that costs this encoder little; 1.0 where it costs none,
    #: 0.0 where it may change vectors.
    max_padding: ClassVar[float] = 0.25
    #: Whether threads encode different batches at the same time: that must be safe, and most of the
    #: time must be spent in large operations, since Python runs in one of the threads at a time.
    side_by_side: ClassVar[bool] = False
    #: Whether a call begins where the last one stopped, so that the order of calls matters.
    stateful: bool = False

    #: Whether `forward` takes a list `attention`, and puts into it the attention weights of each
    #: window: (n_blocks, n_heads, T, T), from a step, to a step.
    has_attention: ClassVar[bool] = False

    settings: dict[str, Any]
    n_ids: int
    n_characters: int | None
    width: int
    n_layers: int
    max_length: int | None
    #: Of inference.
    precision: str = "fp32"

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """arguments: the local variables of the constructor of the subclass."""
        super().__init__()
        # Python 3.10 has local variables in another order, and digests are of this one.
        order = [*inspect.signature(type(self)).parameters, *arguments]
        names = [n for n in dict.fromkeys(order) if n in arguments.keys() - {"self", "__class__"}]
        self.settings = json.loads(json.dumps({n: arguments[n] for n in names}))

    @abstractmethod
    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Encode windows.

        ids: (B, T) or (B, T, C), integers; any where the mask is False.
        mask: (B, T), True where a piece is real; padding stands at the right.
        Returns L tensors (N, D), of the real steps.
        """

    @abstractmethod
    def reset_parameters(self) -> None:
        """Fill every parameter with its random initial value, in place."""

    @abstractmethod
    def parameter_layers(self) -> dict[str, int]:
        """The layer, from 0, of each parameter by its name: the highest that it is part of."""

    @property
    def values_a_step(self) -> int:
        """Numbers that inference holds at once for each padded step, at most: all layers, and
        three results of the widest matrix."""
        tables = {p for m in self.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
        others = (p for p in self.parameters() if p.dim() == 2 and p not in tables)
        widest = max((p.size(0) for p in others), default=self.width)
        return self.n_layers * self.width + 3 * widest

    def reset_state(self) -> None:
        """Forget what a stateful encoder has carried from call to call; others carry nothing."""

    def set_precision(self, precision: str) -> None:
        """Set the precision of inference.

        Raises E108 for a precision that is not among `precisions`.
        """
        if precision not in self.precisions:
            raise ValueError(
                Errors.E108.format(
                    precision=precision,
                    encoder=type(self).__name__,
                    options=list(self.precisions),
                )
            )
        self.precision = precision

    def weights_changed(self) -> None:
        """Drop what was computed from the weights, after a change that PyTorch cannot see."""
        for module in self.modules():
            for value in vars(module).values():
                if isinstance(value, Derived):
                    value.drop()

    def train(self, mode: bool = True) -> "Encoder":
        """Set training or evaluation mode. Training frees what inference has derived."""
        if mode:
            self.weights_changed()
        return super().train(mode)

    def set_dropout(self, rate: float) -> None:
        """Set the rate of every dropout module; it acts in training mode only."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = rate


def assign_layers(
    encoder: nn.Module, layers: Iterable[Iterable[nn.Module | None]]
) -> dict[str, int]:
    """The highest layer that each parameter of an encoder is part of, by its name.

    layers: the modules that make each layer, the context-free one first.
    """
    highest = {
        parameter: layer
        for layer, modules in enumerate(layers)
        for module in modules
        if module is not None
        for parameter in module.parameters()
    }
    return {name: highest[parameter] for name, parameter in encoder.named_parameters()}
