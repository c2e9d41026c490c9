"""The scale of the loss, and products in a lower precision."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from thinc.api import SGD
from torch import nn

from spacy_ctxemb.embedder.training_precision import (
    LARGEST,
    LossScale,
    cast_products,
    check_precision,
)
from spacy_ctxemb.thinc_model.arrays_and_tensors import backpropagate
from spacy_ctxemb.thinc_model.torch_module_shim import MAX_SKIPPED, TorchShim

from ..pipelines import BILM, blank, initialised


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 6), st.integers(1, 4))
def test_the_scale_moves_like_that_of_grad_scaler(
    finite: list[bool], exponent: int, interval: int
) -> None:
    """PyTorch's scales no loss and no parameter here; one gradient is finite or is not."""
    value = 2.0**exponent * 2**12  # far from our bounds, which PyTorch has not
    scale = LossScale(value, interval=interval)
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=value, growth_interval=interval)
    scaler.scale(torch.zeros(1))  # allocates its state
    for is_finite in finite[:11]:
        weight.grad = torch.full((1,), 1.0 if is_finite else math.inf)
        scaler.step(optimizer)
        scaler.update()
        if is_finite:
            scale.grow()
        else:
            scale.shrink()
        assert scale.value == scaler.get_scale()


def test_the_scale_stays_within_bounds() -> None:
    scale = LossScale(4.0, interval=1)
    assert [scale.shrink() for _ in range(4)] == [True, True, False, False]
    assert scale.value == 1.0
    for _ in range(30):
        scale.grow()
    assert scale.value == LARGEST == 2.0**24


def build(scale: LossScale | None) -> TorchShim:
    torch.manual_seed(0)
    shim = TorchShim(nn.Linear(2, 3))
    shim.loss_scale = scale
    return shim


def send(shim: TorchShim, gradient: float, *, seed: int = 0) -> None:
    """The gradient of one batch."""
    scale = 1.0 if shim.loss_scale is None else shim.loss_scale.value
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(seed))
    backpropagate((shim.module(x), torch.full((4, 3), gradient)), scale=scale)


@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
def test_the_scale_is_taken_off_once_for_several_batches(grad_clip: float) -> None:
    """Taken off after each of them, the first would have lost it twice."""
    results = []
    for scale in (None, LossScale(1024.0)):
        shim = build(scale)
        for step in range(2):
            for batch in range(3):
                send(shim, 1.0 + batch, seed=3 * step + batch)
            if scale is not None:
                expected = results[0][step][0] * 1024.0
                assert torch.equal(shim.module.weight.grad, expected)
            gradient = shim.module.weight.grad.clone()
            shim.finish_update(SGD(0.1, grad_clip=grad_clip))
            weights = [parameter.detach().clone() for parameter in shim.module.parameters()]
            results.append([]) if not step else None
            results[-1].append([gradient, *weights])
    for plain, scaled in zip(*results, strict=True):
        for expected, found in zip(plain[1:], scaled[1:], strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_one_batch_that_overflows_spoils_the_update_and_halves_the_scale() -> None:
    """Not the end of training, nor a reason to warn: warnings are errors here."""
    shim = build(LossScale(1024.0, interval=2))
    before = shim.module.weight.detach().clone()
    for expected in (512.0, 256.0):
        send(shim, 1.0)
        send(shim, 1e38)
        shim.finish_update(SGD(0.1))
        assert shim.module.weight.grad is None
        assert shim.loss_scale is not None and shim.loss_scale.value == expected
    assert torch.equal(shim.module.weight, before)
    assert (shim.counts["overflows"], shim.counts["skipped_updates"]) == (2, 0)
    for expected in (256.0, 512.0):
        send(shim, 1.0)
        shim.finish_update(SGD(0.1))
        assert shim.loss_scale.value == expected
    assert not torch.equal(shim.module.weight, before)


def test_training_stops_where_no_scale_helps() -> None:
    shim = build(LossScale(4.0))

    def skip() -> None:
        send(shim, math.nan)
        shim.finish_update(SGD(0.1))

    skip(), skip()
    with pytest.warns(UserWarning, match="W004"):
        skip()
    for _ in range(MAX_SKIPPED - 2):
        skip()
    with pytest.raises(RuntimeError, match=r"\[E209\] 10 updates"):
        skip()


def test_fp16_begins_with_a_scale() -> None:
    for precision, expected in (("fp32", None), ("bf16", None), ("fp16", LossScale(65536.0))):
        (shim,) = blank({**BILM, "training_precision": precision}).get_pipe("ctxemb").model.shims
        assert shim.loss_scale == expected


def test_fp16_wants_a_gpu() -> None:
    nlp = initialised({**BILM, "training_precision": "fp16"})
    assert nlp("two words").tensor.any()  # what the setting has no say in
    message = r"\[E208\] .* 'fp16', .* device of the type 'cpu'\. .*'bf16' or 'fp32'"
    with pytest.raises(ValueError, match=message):
        nlp.get_pipe("ctxemb").model.begin_update([nlp.make_doc("two words")])


def test_an_unknown_precision() -> None:
    message = (
        r"\[E207\] There is no training_precision 'fp8'\. Use one of \['fp32', 'bf16', 'fp16'\]"
    )
    with pytest.raises(ValueError, match=message):
        check_precision("fp8")
    with pytest.raises(ValueError, match=message):
        blank({**BILM, "training_precision": "fp8"})


@pytest.mark.parametrize("precision, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_type_of_the_precision(precision: str, dtype: torch.dtype) -> None:
    x: Any = torch.ones(2, 2)
    with cast_products(precision, torch.device("cpu")):
        assert (x @ x).dtype == dtype
    assert (x @ x).dtype == torch.float32
