"""Updates that are skipped since a gradient is not finite."""

import math

import numpy as np
import pytest
import torch
from thinc.api import Adam
from torch import nn

from spacy_ctxemb.thinc_model.torch_module_shim import MAX_SKIPPED, TorchShim


def build() -> TorchShim:
    torch.manual_seed(0)
    return TorchShim(nn.Linear(2, 3))


def step(shim: TorchShim, optimizer: Adam, *, bias: float = 1.0) -> None:
    """One step with gradients of 1, and another one for the bias."""
    for name, parameter in shim.named_parameters():
        parameter.grad = torch.full_like(parameter, bias if name == "bias" else 1.0)
    shim.finish_update(optimizer)


def skip(shim: TorchShim, optimizer: Adam, *, bias: float = math.nan) -> None:
    """One step that is skipped, with the warning if it is the first one."""
    if shim.counts["skipped_updates"]:
        step(shim, optimizer, bias=bias)
    else:
        with pytest.warns(UserWarning, match=r"\[W004\] An update was skipped.*learn_rate"):
            step(shim, optimizer, bias=bias)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_update_is_skipped_as_a_whole(value: float) -> None:
    """Weights, moments and averages are what they would be if it had never come."""
    shim, twin = build(), build()
    optimizer, other = Adam(0.1, use_averages=True), Adam(0.1, use_averages=True)
    for one, its in ((shim, optimizer), (twin, other)):
        step(one, its)
        if one is shim:
            skip(one, its, bias=value)
            assert all(parameter.grad is None for parameter in one.module.parameters())
        step(one, its)
    for name, parameter in shim.named_parameters():
        assert torch.equal(parameter, twin.module.get_parameter(name))
        for kept, expected in (
            (optimizer.mom1, other.mom1),
            (optimizer.mom2, other.mom2),
            (optimizer.averages, other.averages),
        ):
            assert np.array_equal(kept[shim.id, name], expected[twin.id, name])
    assert shim.counts["skipped_updates"] == 1
    assert twin.counts["skipped_updates"] == 0


def test_a_loss_that_is_not_finite_spoils_one_update() -> None:
    shim, optimizer = build(), Adam(0.1)
    before = shim.module.bias.detach().clone()
    shim.spoil_update()
    skip(shim, optimizer, bias=1.0)
    assert torch.equal(shim.module.bias, before)
    step(shim, optimizer)
    assert not torch.equal(shim.module.bias, before)


def test_training_stops_after_many_in_a_row() -> None:
    shim, optimizer = build(), Adam(0.1)
    for _ in range(2):
        for _ in range(MAX_SKIPPED - 1):
            skip(shim, optimizer)
        step(shim, optimizer)
    for _ in range(MAX_SKIPPED - 1):
        skip(shim, optimizer)
    message = r"\[E209\] 10 updates in a row.*lower.*learn_rate.*warm-up.*check the data"
    with pytest.raises(RuntimeError, match=message):
        skip(shim, optimizer)
    assert shim.counts["skipped_updates"] == 3 * MAX_SKIPPED - 2


def test_steps_without_gradients_are_not_counted() -> None:
    shim, optimizer = build(), Adam(0.1)
    skip(shim, optimizer)
    shim.finish_update(optimizer)
    assert shim.n_skipped == 1
