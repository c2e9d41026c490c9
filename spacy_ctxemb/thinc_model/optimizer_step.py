"""One step of Thinc's optimizer over the parameters of a PyTorch module."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from thinc.api import Optimizer, xp2torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from .arrays_and_tensors import to_array
from .fused_adam import can_fuse, take_fused_step


class Trained(NamedTuple):
    """A parameter with a gradient.

    key: under which the optimizer keeps what it knows of it. rate: a factor of the learning rate.
    """

    key: tuple[int, str]
    parameter: nn.Parameter
    rate: float


def take_step(optimizer: Optimizer, trained: Sequence[Trained], norm: float) -> None:
    """Change parameters by their gradients, which are dropped.

    Biases, norms and the weights of a mix, which have one dimension, do not decay. Source: the
    program of Devlin et al. 2019, "BERT".

    norm: of all gradients together, see `measure`. Where it is above the optimizer's grad_clip, all
    of them are scaled down to it, so that the direction of the step stays what it is; Thinc clips
    each by itself. Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural
    networks", algorithm 1.

    What is no Optimizer, such as the function by which `nlp.rehearse` collects gradients, is
    called without any settings.
    """
    limit = getattr(optimizer, "grad_clip", 0.0)
    scale = limit / norm if 0.0 < limit < norm else 1.0
    if isinstance(optimizer, Optimizer):
        begin_averages(optimizer, trained)
        if can_fuse(optimizer, trained):
            take_fused_step(optimizer, trained, scale)
            return
    for key, parameter, rate in trained:
        data, grad = to_array(parameter.data), to_array(cast(Tensor, parameter.grad))
        if scale < 1.0:
            grad *= scale
        changed = {}
        if isinstance(optimizer, Optimizer):
            changed = {
                "learn_rate": rate * optimizer.learn_rate,  # RAdam ignores `lr_scale`
                "L2": optimizer.L2 if parameter.dim() > 1 else 0.0,
                "grad_clip": 0.0,
            }
        with settings(optimizer, **changed):
            value, _ = optimizer(key, data, grad)
        updated = xp2torch(value, device=parameter.device)
        if updated.data_ptr() != parameter.data_ptr():
            parameter.data.copy_(updated)
        parameter.grad = None


def begin_averages(optimizer: Optimizer, trained: Iterable[Trained]) -> None:
    """With the values before the first step; Thinc begins with zeros."""
    if optimizer.averages is None:
        return
    for key, parameter, _ in trained:
        if key not in optimizer.averages:
            optimizer.averages[key] = to_array(parameter.data).copy()


def measure(trained: Iterable[Trained]) -> float:
    """The norm of all gradients as one vector; not finite where one of them is not."""
    norms = [vector_norm(one.parameter.grad) for one in trained]
    return vector_norm(torch.stack(norms)).item() if norms else 0.0


@contextmanager
def settings(optimizer: Optimizer, **values: float) -> Iterator[None]:
    """Other settings inside."""
    before = {name: getattr(optimizer, name) for name in values}
    try:
        for name, value in values.items():
            setattr(optimizer, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(optimizer, name, value)
