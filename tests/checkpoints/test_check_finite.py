"""Values that are refused, by their number."""

import math

import pytest
import torch

from spacy_ctxemb.checkpoints.check_finite import LARGEST, check_finite

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def check(values: list[float], dtype: torch.dtype = torch.float32) -> None:
    check_finite(torch.tensor(values, dtype=dtype), name="weight", path="here")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("values", [[], [0.0], [6e4, -6e4]])
def test_values_of_a_trained_model(values: list[float], dtype: torch.dtype) -> None:
    check(values, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("n", [1, 3])
def test_values_that_are_not_finite(n: int, value: float, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"\[E309\] In here, weight has {n} values"):
        check([0.0, 1.0, *([value] * n), -2.0], dtype)


@pytest.mark.parametrize("sign", [1, -1])
def test_values_that_are_too_large(sign: int) -> None:
    check([sign * LARGEST], torch.float64)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        with pytest.raises(ValueError, match=r"\[E309\] In here, weight has 2 values"):
            check([sign * LARGEST * 1.01, 0.0, sign * 1e30], dtype)
