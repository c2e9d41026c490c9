"""Encoders that compute inner values again in the backward pass."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from spacy_ctxemb.encoders import Encoder, ModernTransformerEncoder
from spacy_ctxemb.encoders.gradient_checkpointing import (
    Part,
    compute_again,
    has_parts,
    set_recomputation,
)
from spacy_ctxemb.encoders.lstm import LSTM
from spacy_ctxemb.encoders.transformer_blocks import Block

from ..tiny import build_bilm, build_transformer, draw_ids, randomise


def build_modern() -> ModernTransformerEncoder:
    encoder = ModernTransformerEncoder(
        vocab_size=30, width=8, n_blocks=3, n_heads=2, feedforward_width=12, max_length=16
    )
    return randomise(encoder).eval()


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "bilm": build_bilm,
    "stateful bilm": lambda: build_bilm(stateful=True),
    "transformer": build_transformer,
    "shared blocks": lambda: build_transformer(n_blocks=3, n_groups=1, n_position_buckets=8),
    "modern transformer": build_modern,
}


def run(encoder: Encoder) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Layers in training mode, and gradients computed in another mode. Two calls."""
    encoder.zero_grad()
    encoder.reset_state()
    ids = draw_ids(encoder, 3, 7)
    mask = torch.arange(7) < torch.tensor([[7], [5], [2]])
    torch.manual_seed(0)
    encoder.train().set_dropout(0.3)
    layers = [*encoder(ids, mask), *encoder(ids, mask)]
    encoder.eval().set_dropout(0.0)
    loss = sum(
        (layer * torch.linspace(-1, 1, layer.numel()).view_as(layer)).sum() for layer in layers
    )
    torch.as_tensor(loss).backward()
    return tuple(layer.detach() for layer in layers), {
        name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ENCODERS)
def test_gradients_are_equal(name: str, dtype: torch.dtype) -> None:
    encoder = ENCODERS[name]()
    assert has_parts(encoder)
    results = []
    for recomputes in (False, True, False):
        set_recomputation(encoder, recomputes)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            results.append(run(encoder))
        assert not encoder.training
    for layers, gradients in results[1:]:
        assert all(map(torch.equal, layers, results[0][0]))
        assert gradients.keys() == results[0][1].keys()
        torch.testing.assert_close(gradients, results[0][1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name, kind", [("bilm", LSTM), ("transformer", Block)])
def test_parts_run_twice_and_keep_less(
    name: str, kind: type[Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ENCODERS[name]()
    ids = draw_ids(encoder, 4, 12)
    mask = torch.ones(4, 12, dtype=torch.bool)
    runs: list[Part] = []
    forward = kind.forward

    def count(self: Part, *arguments: Any) -> Any:
        runs.append(self)
        return forward(self, *arguments)

    monkeypatch.setattr(kind, "forward", count)
    n_parts = sum(isinstance(module, kind) for module in encoder.modules())
    kept = []
    sizes: list[int] = []

    def weigh(x: Tensor) -> Tensor:
        sizes.append(x.nbytes)
        return x

    for recomputes in (False, True):
        set_recomputation(encoder, recomputes)
        runs.clear()
        sizes.clear()
        with torch.autograd.graph.saved_tensors_hooks(weigh, lambda x: x):
            layers = encoder(ids, mask)
        kept.append(sum(sizes))
        assert len(runs) == n_parts
        torch.autograd.backward(layers, [torch.ones_like(layer) for layer in layers])
        assert len(runs) == n_parts * (2 if recomputes else 1)
    assert kept[1] < 0.7 * kept[0]
    with torch.no_grad():
        runs.clear()
        encoder(ids, mask)
        assert len(runs) == n_parts


def test_the_second_run_has_the_dropout_of_the_first() -> None:
    module = torch.nn.Dropout(0.5)
    x = torch.ones(1000, requires_grad=True)
    y = compute_again(module, lambda x: module(x) * x, x)
    module.eval()
    module.p = 0.1
    y.sum().backward()
    assert set(y.tolist()) == {0.0, 2.0}
    torch.testing.assert_close(x.grad, 2 * y.detach())
    assert (module.training, module.p) == (False, 0.1)
