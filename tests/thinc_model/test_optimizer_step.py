"""Steps of Thinc's optimizer over PyTorch's parameters."""

from typing import Any

import pytest
import torch
from thinc.api import SGD, Adam, RAdam
from torch import Tensor, nn

from spacy_ctxemb.thinc_model import fused_adam, optimizer_step
from spacy_ctxemb.thinc_model.fused_adam import can_fuse
from spacy_ctxemb.thinc_model.optimizer_step import Trained
from spacy_ctxemb.thinc_model.torch_module_shim import TorchShim


class Affine(nn.Module):
    """A matrix and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[1.0, -2.0], [3.0, 0.5]]))
        self.bias = nn.Parameter(torch.tensor([4.0, -1.0]))


def build() -> tuple[TorchShim, Affine]:
    module = Affine()
    return TorchShim(module), module


def step(shim: TorchShim, optimizer: Any, matrix: Any, bias: Any) -> None:
    """One step along these gradients."""
    for parameter, gradient in zip(shim.module.parameters(), (matrix, bias), strict=True):
        if parameter.requires_grad:
            grad = torch.as_tensor(gradient, dtype=torch.float32).expand_as(parameter).clone()
            parameter.grad = grad
    shim.finish_update(optimizer)


def copy_values(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


@pytest.mark.parametrize("build_optimizer", [Adam, RAdam, SGD])
@pytest.mark.parametrize("L2_is_weight_decay", [True, False])
def test_biases_and_norms_do_not_decay(build_optimizer: Any, L2_is_weight_decay: bool) -> None:
    results = []
    for L2 in (0.0, 0.1):
        shim, module = build()
        optimizer = build_optimizer(0.1, L2=L2, L2_is_weight_decay=L2_is_weight_decay)
        for _ in range(2):
            step(shim, optimizer, matrix=0.01, bias=0.01)
        assert optimizer.L2 == L2
        results.append(copy_values(module))
    (matrix, bias), (decayed, kept) = results
    assert torch.equal(bias, kept)
    assert not torch.allclose(matrix, decayed)


def test_a_matrix_decays_towards_zero() -> None:
    shim, module = build()
    before = copy_values(module)
    step(shim, SGD(0.1, L2=0.5), matrix=0.0, bias=0.0)
    torch.testing.assert_close(module.matrix.detach(), before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(module.bias, before[1])


def test_gradients_are_clipped_together() -> None:
    """Their norm is 5 (3 in the matrix, 4 in the bias); each by itself is clipped to 1 by Thinc."""
    gradients = [torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([0.0, 4.0])]
    for limit, scale in ((1.0, 1 / 5), (2.5, 1 / 2), (3.5, 3.5 / 5), (5.1, 1.0), (0.0, 1.0)):
        shim, module = build()
        before = copy_values(module)
        optimizer = SGD(0.1, grad_clip=limit)
        step(shim, optimizer, *gradients)
        for start, gradient, parameter in zip(before, gradients, module.parameters(), strict=True):
            torch.testing.assert_close(parameter.detach(), start - 0.1 * scale * gradient)
        assert optimizer.grad_clip == limit


def test_clipping_leaves_the_pull_towards_zero_as_it_is() -> None:
    """It is no part of the gradient that is bounded."""
    shim, module = build()
    before = copy_values(module)
    optimizer = SGD(0.1, L2=10.0, L2_is_weight_decay=False, grad_clip=1.0)
    step(shim, optimizer, matrix=0.0, bias=0.0)
    torch.testing.assert_close(module.matrix.detach(), before[0] * (1 - 0.1 * 10.0))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"L2": 0.3},
        {"L2": 0.3, "L2_is_weight_decay": False},
        {"eps": 0.1, "grad_clip": 0.0},
        {"use_averages": True},
    ],
)
def test_fused_steps_are_those_of_thinc(settings: dict[str, Any], monkeypatch: Any) -> None:
    """Parameters, moments and averages, of two parameters of which one has missed steps."""
    found: list[dict[str, Tensor]] = []
    for is_fused in (True, False):
        shim, module = build()
        shim.find_rates = lambda: {"bias": 0.5}
        optimizer = Adam(0.01, **{"grad_clip": 2.0, **settings})
        if not is_fused:
            monkeypatch.setattr(optimizer_step, "can_fuse", lambda *_: False)
        generator = torch.Generator().manual_seed(0)
        for i in range(12):
            gradients = [3 * torch.randn(x.shape, generator=generator) for x in module.parameters()]
            module.bias.requires_grad_(i % 3 != 1)
            step(shim, optimizer, *gradients)
        values = {"matrix": module.matrix.detach(), "bias": module.bias.detach()}
        for name in ("mom1", "mom2", "averages"):
            kept = getattr(optimizer, name) or {}
            values |= {f"{name} {key[1]}": torch.from_numpy(x) for key, x in kept.items()}
        assert sorted(optimizer.nr_update.values()) == [8, 12]
        found.append(values)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_a_fused_step_that_is_interrupted_counts_once(monkeypatch: Any) -> None:
    """What has had its step has no gradient any more; what has not is not counted."""
    shim, module = build()
    optimizer, n_calls = Adam(0.01, L2=0.1), []
    whole = fused_adam.adam

    def stop(*args: Any, **settings: Any) -> None:
        if n_calls:
            raise KeyboardInterrupt
        n_calls.append(1)
        whole(*args, **settings)

    monkeypatch.setattr(fused_adam, "adam", stop)
    before = copy_values(module)
    with pytest.raises(KeyboardInterrupt):
        step(shim, optimizer, matrix=1.0, bias=1.0)
    stepped = [not torch.equal(x, y) for x, y in zip(before, module.parameters(), strict=True)]
    assert stepped == [True, False]
    assert module.matrix.grad is None and module.bias.grad is not None
    counts = {name: n for (_, name), n in optimizer.nr_update.items()}
    assert counts == {"matrix": 1, "bias": 0}


def test_what_is_fused() -> None:
    shim, module = build()
    trained = [Trained((shim.id, "matrix"), module.matrix, 1.0)]
    assert can_fuse(Adam(0.01), trained)
    assert not can_fuse(RAdam(0.01), trained)
    assert not can_fuse(SGD(0.01), trained)
    half = nn.Parameter(module.matrix.detach().bfloat16())
    assert not can_fuse(Adam(0.01), [Trained((shim.id, "half"), half, 1.0)])


def test_averages_begin_with_the_weights() -> None:
    """Thinc's begin with zeros, too small for a layer that has just thawed."""
    shim, module = build()
    optimizer = Adam(0.0, use_averages=True)
    before = copy_values(module)
    step(shim, optimizer, 1.0, 1.0)
    averages = [torch.from_numpy(value) for value in optimizer.averages.values()]
    assert len(averages) == 2
    for average, value in zip(averages, before, strict=True):
        torch.testing.assert_close(average, value)


def test_a_function_that_collects_gradients_is_no_optimizer() -> None:
    """`nlp.rehearse` passes one."""
    shim, module = build()
    before = copy_values(module)
    collected = {}

    def collect(key: Any, weights: Any, gradient: Any) -> Any:
        collected[key] = gradient.copy()
        return weights, gradient

    step(shim, collect, matrix=3.0, bias=4.0)
    assert {(shim.id, "matrix"), (shim.id, "bias")} == set(collected)
    assert (collected[shim.id, "matrix"] == 3.0).all()
    assert all(map(torch.equal, before, module.parameters()))


def test_an_interrupted_step_tells_that_weights_have_changed() -> None:
    shim, module = build()
    before, told = copy_values(module), []
    shim.weights_changed = lambda: told.append(copy_values(module))

    def change(key: tuple[int, str], data: Any, gradient: Any) -> Any:
        if key[1] == "bias":
            raise KeyboardInterrupt
        return data - gradient, gradient

    with pytest.raises(KeyboardInterrupt):
        step(shim, change, matrix=1.0, bias=1.0)
    assert not torch.equal(module.matrix, before[0])
    (seen,) = told
    assert torch.equal(seen[0], module.matrix)


def test_averages_leave_again_where_they_are_interrupted() -> None:
    shim, module = build()
    before = copy_values(module)
    averages = {(shim.id, "matrix"): torch.zeros(2, 2).numpy(), (shim.id, "bias"): None}
    with pytest.raises(Exception), shim.use_params(averages):  # noqa: B017, PT011 - of Thinc
        pass
    assert torch.equal(module.matrix, before[0])
