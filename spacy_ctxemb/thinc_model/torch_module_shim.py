"""A PyTorch module inside a Thinc model: updates, averages, copies, weights as safetensors."""

import copy
import math
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import safetensors.torch
import torch
from thinc.api import Optimizer, xp2torch
from thinc.shims import Shim
from torch import Tensor, nn

from ..embedder.training_precision import LossScale
from ..errors import Errors
from ..torch_state import in_ordinary_torch, ordinary_torch
from .optimizer_step import Trained, measure, take_step
from .parameter_values import get_tensors, load_module

if TYPE_CHECKING:
    from typing_extensions import Self


#: Updates skipped one after the other after which training stops.
MAX_SKIPPED = 10


class TorchShim(Shim):
    """Holds a module.

    Differs from Thinc's PyTorchShim: the module stays in evaluation mode, so that threads may
    predict at the same time; averaged parameters work; a copy has its own id, so that it does
    not share an optimizer's state; weights are stored as safetensors, never as pickles.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module.eval())
        self.counts: Counter[str] = Counter()
        self.is_spoiled = False
        self.n_skipped = 0
        self.loss_scale: LossScale | None = None

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def module(self) -> nn.Module:
        return cast(nn.Module, self._model)

    @property
    def is_materialised(self) -> bool:
        return self.device.type != "meta"

    def check_materialised(self) -> None:
        """Raise E008 where there are no weights yet."""
        if not self.is_materialised:
            raise RuntimeError(Errors.E008)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.module.named_parameters()

    @in_ordinary_torch
    def finish_update(self, optimizer: Optimizer) -> None:
        """Let Thinc's optimizer change every parameter that has a gradient.

        Not where a gradient is not finite: Adam's moments would never be finite again. Gradients
        of all batches since the last update have the scale of the loss, which is taken off here.
        """
        rates = self.find_rates()
        trained = [
            Trained((self.id, name), parameter, rates.get(name, 1.0))
            for name, parameter in self.named_parameters()
            if parameter.grad is not None
        ]
        if self.loss_scale is not None:
            self.loss_scale.unscale(cast(Tensor, one.parameter.grad) for one in trained)
        norm = measure(trained)
        if self.is_spoiled or not math.isfinite(norm):
            self.skip_update()
        elif trained:
            try:
                take_step(optimizer, trained, norm)
            finally:  # a step that is interrupted has changed some of them
                self.weights_changed()
            self.n_skipped = 0
            if self.loss_scale is not None:
                self.loss_scale.grow()

    def spoil_update(self) -> None:
        """Let the next update be skipped, as for a loss that is not finite."""
        self.is_spoiled = True

    def skip_update(self) -> None:
        """Drop all gradients. Warns the first time, and stops where it happens again and again,
        unless the scale of the loss was too large, which is nothing unusual."""
        for _, parameter in self.named_parameters():
            parameter.grad = None
        self.is_spoiled = False
        if self.loss_scale is not None and self.loss_scale.shrink():
            self.counts["overflows"] += 1
            return
        self.n_skipped += 1
        self.counts["skipped_updates"] += 1
        if self.n_skipped == MAX_SKIPPED:
            raise RuntimeError(Errors.E209.format(n=self.n_skipped))
        if self.counts["skipped_updates"] == 1:
            warnings.warn(Errors.W004, stacklevel=2)

    def find_rates(self) -> dict[str, float]:
        """Factors of the learning rate, by names of parameters; 1.0 for those left out."""
        return {}

    def weights_changed(self) -> None:
        """Called after changes of values that PyTorch does not see."""

    @contextmanager
    def use_params(self, params: dict[tuple[int, str], Any] | None) -> Iterator[None]:
        """Use averaged parameters inside. params: arrays by (id, name)."""
        replaced: list[tuple[nn.Parameter, Tensor]] = []
        try:
            with ordinary_torch():
                for name, parameter in self.named_parameters():
                    if params and (self.id, name) in params:
                        replaced.append((parameter, parameter.data))
                        parameter.data = xp2torch(params[self.id, name], device=parameter.device)
            if replaced:
                self.weights_changed()
            yield
        finally:
            for parameter, data in replaced:
                parameter.data = data
            if replaced:
                self.weights_changed()

    @in_ordinary_torch
    def __deepcopy__(self, memo: dict[int, Any]) -> "Self":
        """A copy with an id of its own."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        twin.take_new_id()
        return twin

    def take_new_id(self) -> None:
        """Part from what an optimizer knows of the parameters so far: moments and averages."""
        with Shim.global_id_lock:
            Shim.global_id += 1
            self.id = Shim.global_id

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what a pickle holds, which in torch.inference_mode() nobody could train."""
        self.__dict__.update(state)
        if any(value.is_inference() for value in self.module.state_dict().values()):
            with ordinary_torch():
                self.__dict__ = copy.deepcopy(self.__dict__)

    def to_device(self, device_type: str, device_id: int) -> None:
        if self.is_materialised:
            self.module.to(f"cuda:{device_id}" if device_type == "gpu" else "cpu")

    def get_tensors(self) -> dict[str, Tensor]:
        """What to store: the values of all parameters, if they have any."""
        return get_tensors(self.module) if self.is_materialised else {}

    @in_ordinary_torch
    def to_bytes(self) -> bytes:
        return safetensors.torch.save(self.get_tensors())

    @in_ordinary_torch
    def from_bytes(self, data: bytes) -> "Self":
        tensors = safetensors.torch.load(data)
        if tensors:
            load_module(self.module, tensors)
        else:
            self.module.to(device="meta")
        self.weights_changed()
        return self
