"""Steps of Thinc's optimizer over PyTorch's parameters."""

from typing import Any

import pytest
import torch
from thinc.api import SGD, Adam, RAdam
from torch import Tensor, nn

from spacy_ctxemb.torch_shim import TorchShim


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
        parameter.grad = torch.as_tensor(gradient, dtype=torch.float32).expand_as(parameter).clone()
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
