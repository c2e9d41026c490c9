"""The maximum over time against PyTorch's convolution."""

import pytest
import torch
from torch.nn import functional as F

from spacy_ctxemb.encoders.kernels.max_over_time import MaxOverTime


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_maximum_over_time_equals_pytorchs_convolution(dtype: torch.dtype) -> None:
    """Of equal values the first has the gradient. Small whole numbers are exact in any type."""
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 9, 4), (5, 4, 2), (5,), (3, 5)
    x, weight, bias, dy = (
        torch.randint(-2, 3, shape, generator=generator).to(dtype) for shape in shapes
    )
    x[0] = x[0, 0]
    inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    scores = F.conv1d(x.transpose(1, 2), weight, bias)  # (3, 5, 8)
    first = (scores == scores.amax(dim=2, keepdim=True)).int().argmax(dim=2, keepdim=True)
    expected = scores.gather(2, first)[:, :, 0]
    found = MaxOverTime.apply(x, weight, bias)
    assert found.equal(expected)
    gradients = torch.autograd.grad(found, inputs, dy)
    for a, b in zip(gradients, torch.autograd.grad(expected, inputs, dy), strict=True):
        assert a.equal(b)
