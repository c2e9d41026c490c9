"""Thinc's Adam by PyTorch's fused routine, where both can be used.

Thinc's own goes over the memory of each parameter several times, on one core; this goes once, on
all of PyTorch's. What Adam knows of the parameters stays where Thinc keeps it.

Source: Kingma & Ba 2015, "Adam", section 2.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from thinc.api import Optimizer
from torch import Tensor
from torch.optim.adam import adam

if TYPE_CHECKING:
    from .optimizer_step import Trained

#: Of averages: they follow the last ten thousand values, as Thinc's do.
MAX_DECAY = 0.9999


def can_fuse(optimizer: object, trained: Sequence["Trained"]) -> bool:
    """Whether this is Thinc's Adam, over parameters in fp32 on the CPU."""
    if type(optimizer) is not Optimizer or optimizer.use_radam:
        return False
    is_adam = optimizer.b1 > 0.0 and optimizer.b2 > 0.0
    return is_adam and all(
        one.parameter.device.type == "cpu"
        and one.parameter.dtype == torch.float32
        and one.parameter.is_contiguous()
        for one in trained
    )


def take_fused_step(optimizer: Optimizer, trained: Sequence["Trained"], scale: float) -> None:
    """Change parameters, moments and averages. scale: of gradients."""
    groups: dict[tuple[float, bool, int], list[Trained]] = defaultdict(list)
    for one in trained:
        n_updates = optimizer.nr_update[one.key] + 1
        groups[one.rate, one.parameter.dim() > 1, n_updates].append(one)
    for (rate, decays, n_updates), group in groups.items():
        learn_rate, L2 = rate * optimizer.learn_rate, optimizer.L2 if decays else 0.0
        parameters = [one.parameter.detach() for one in group]
        gradients = [cast(Tensor, one.parameter.grad).contiguous() for one in group]
        left = scale
        if L2 and not optimizer.L2_is_weight_decay:
            torch._foreach_mul_(gradients, scale)
            torch._foreach_add_(gradients, parameters, alpha=L2)
            left = 1.0
        adam(
            parameters,
            gradients,
            share_moments(optimizer.mom1, group),
            share_moments(optimizer.mom2, group),
            [],
            [torch.tensor(float(n_updates - 1)) for _ in group],  # which it counts up
            fused=True,
            grad_scale=None if left == 1.0 else torch.tensor(1.0 / left),  # it divides by this
            amsgrad=False,
            beta1=optimizer.b1,
            beta2=optimizer.b2,
            lr=learn_rate,
            weight_decay=0.0,
            # Thinc adds it before the second moment is corrected for its beginning, PyTorch after.
            eps=optimizer.eps / (1.0 - optimizer.b2**n_updates) ** 0.5,
            maximize=False,
        )
        if L2 and optimizer.L2_is_weight_decay:  # where Thinc does it: after the step
            torch._foreach_mul_(parameters, 1.0 - learn_rate * L2)
        update_averages(optimizer, group, n_updates)
        for one in group:  # at once: an interruption must not let them count twice
            optimizer.nr_update[one.key], one.parameter.grad = n_updates, None


def share_moments(moments: dict[tuple[int, str], Any], group: Sequence["Trained"]) -> list[Tensor]:
    """The arrays in which Thinc keeps them, as tensors of the same memory."""
    for one in group:
        if one.key not in moments:
            moments[one.key] = np.zeros(one.parameter.numel(), dtype="float32")
    return [torch.from_numpy(moments[one.key]).view_as(one.parameter) for one in group]


def update_averages(optimizer: Optimizer, group: Sequence["Trained"], n_updates: int) -> None:
    if optimizer.averages is None:
        return
    decay = min((1.0 + n_updates) / (10.0 + n_updates), MAX_DECAY)
    averages = [torch.from_numpy(optimizer.averages[one.key]) for one in group]
    parameters = [one.parameter.detach() for one in group]
    torch._foreach_lerp_(averages, parameters, 1.0 - decay)
