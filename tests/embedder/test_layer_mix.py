"""Mixes of layers against their formulae."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from spacy_ctxemb.embedder.layer_mix import (
    ChosenLayer,
    ConcatLayers,
    LastLayers,
    LayerMix,
    ScalarMix,
)

from ..strategies import layers_LPD_lengths
from ..tiny import check_gradient, randomise


def draw_layers(L: int, P: int, D: int) -> Tensor:
    return torch.randn(L, P, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def build_scalar_mix(L: int, D: int, *, layer_norm: str | None = None, seed: int = 0) -> ScalarMix:
    return randomise(ScalarMix(L, D, layer_norm=layer_norm), seed=seed).double()


def test_scalar_mix_by_hand() -> None:
    """Weights 0 and ln 3 are shares of 1/4 and 3/4; gamma doubles."""
    mix = ScalarMix(2, 2)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.0, math.log(3.0)]))
        mix.gamma.fill_(2.0)
    layers = torch.tensor([[[4.0, 0.0]], [[8.0, -4.0]]])
    torch.testing.assert_close(mix(layers, torch.tensor([1])), torch.tensor([[14.0, -6.0]]))
    assert mix.layer_weights().shares == pytest.approx([0.25, 0.75])


def test_scalar_mix_starts_as_a_plain_average() -> None:
    mix = randomise(ScalarMix(3, 4))
    mix.reset_parameters()
    layers = draw_layers(3, 5, 4).float()
    torch.testing.assert_close(mix(layers, torch.tensor([5])), layers.mean(dim=0))
    assert mix.layer_weights().shares == pytest.approx([1 / 3] * 3)


def test_fixed_weights_can_select_a_layer() -> None:
    """As ELMo's users do, with weights of -9e10 for the others."""
    mix = ScalarMix(3, 4)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([-9e10, 1.0, -9e10]))
        mix.gamma.fill_(1.0)
    layers = draw_layers(3, 5, 4).float()
    assert torch.equal(mix(layers, torch.tensor([5])), layers[1])


@given(layers_LPD_lengths())
def test_layer_norm_equals_a_loop_over_documents(drawn: tuple[Tensor, Tensor]) -> None:
    layers, lengths = drawn
    mix = build_scalar_mix(len(layers), layers.size(2), layer_norm="document")
    shares = np.exp(mix.weights.detach().numpy())
    shares = shares / shares.sum() * mix.gamma.item()
    expected = []
    start = 0
    for n in lengths.tolist():
        total = np.zeros((n, layers.size(2)))
        for layer, share in zip(layers.numpy(), shares, strict=True):
            part = layer[start : start + n]
            variance = np.mean((part - np.mean(part)) ** 2)
            total += share * (part - np.mean(part)) / np.sqrt(variance + 1e-13)
        expected.append(total)
        start += n
    found = mix(layers, lengths).detach().numpy()
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-9, atol=1e-9)


def test_layer_norm_does_not_depend_on_other_documents() -> None:
    mix = build_scalar_mix(3, 4, layer_norm="document")
    layers = draw_layers(3, 9, 4)
    together = mix(layers, torch.tensor([2, 6, 1]))
    other = layers.clone()
    other[:, :2] *= 100
    assert torch.equal(mix(other, torch.tensor([2, 6, 1]))[2:], together[2:])
    alone = mix(layers[:, 2:8], torch.tensor([6]))
    torch.testing.assert_close(alone, together[2:8])


def test_layer_norm_with_documents_without_pieces() -> None:
    mix = build_scalar_mix(3, 4, layer_norm="document")
    layers = draw_layers(3, 5, 4)
    expected = mix(layers, torch.tensor([2, 3]))
    assert torch.equal(mix(layers, torch.tensor([0, 2, 0, 3, 0])), expected)


@pytest.mark.parametrize("layer_norm", [None, "document", "batch"])
def test_mixes_of_nothing_are_empty(layer_norm: str | None) -> None:
    mix = build_scalar_mix(3, 4, layer_norm=layer_norm)
    for lengths in ([], [0]):
        empty = torch.zeros(3, 0, 4, dtype=torch.float64)
        assert mix(empty, torch.tensor(lengths, dtype=torch.int64)).shape == (0, 4)


def test_layer_norm_of_equal_values_is_finite() -> None:
    mix = build_scalar_mix(2, 3, layer_norm="document").float()
    layers = torch.full((2, 1, 3), 7.0, requires_grad=True)
    result = mix(layers, torch.tensor([1]))
    result.sum().backward()
    assert not result.any()
    assert layers.grad.isfinite().all()


@pytest.mark.parametrize("layer_norm", [None, "document", "batch"])
def test_scalar_mix_gradient_equals_finite_differences(layer_norm: str | None) -> None:
    mix = build_scalar_mix(3, 4, layer_norm=layer_norm)
    layers = torch.nn.Parameter(draw_layers(3, 6, 4))
    check_gradient(
        lambda: mix(layers, torch.tensor([4, 2])).pow(3).sum(),
        [*mix.named_parameters(), ("layers", layers)],
    )


def test_only_layer_norm_needs_whole_documents() -> None:
    mixes = [ScalarMix(2, 3), ChosenLayer(2, 3), LastLayers(2, 3, n=1), ConcatLayers(2, 3)]
    assert not any(mix.whole_documents for mix in mixes)
    assert ScalarMix(2, 3, layer_norm="document").whole_documents


@pytest.mark.parametrize(
    "mix, chosen",
    [
        (ChosenLayer(3, 4), lambda x: x[2]),
        (ChosenLayer(3, 4, layer=0), lambda x: x[0]),
        (ChosenLayer(3, 4, layer=-2), lambda x: x[1]),
        (LastLayers(3, 4, n=1), lambda x: x[2]),
        (LastLayers(3, 4, n=2), lambda x: (x[1] + x[2]) / 2),
        (LastLayers(3, 4, n=3), lambda x: (x[0] + x[1] + x[2]) / 3),
        (ConcatLayers(3, 4), lambda x: torch.cat([x[0], x[1], x[2]], dim=1)),
        (ConcatLayers(3, 4, layers=[-1, 0]), lambda x: torch.cat([x[2], x[0]], dim=1)),
        (ConcatLayers(3, 4, layers=[1, 1]), lambda x: torch.cat([x[1], x[1]], dim=1)),
    ],
)
def test_other_mixes(mix: LayerMix, chosen: Callable[[Tensor], Tensor]) -> None:
    layers = draw_layers(3, 5, 4)
    found = mix(layers[list(mix.layers)], torch.tensor([2, 3]))
    assert found.shape == (5, mix.width)
    torch.testing.assert_close(found, chosen(layers))
    mix.reset_parameters()
    assert not list(mix.parameters())


@pytest.mark.parametrize(
    "build, what",
    [
        (lambda: ChosenLayer(3, 4, layer=3), "layer 3"),
        (lambda: ChosenLayer(3, 4, layer=-4), "layer -4"),
        (lambda: ConcatLayers(3, 4, layers=[0, 5]), "layer 5"),
        (lambda: ConcatLayers(3, 4, layers=[]), "layer in an empty list"),
        (lambda: LastLayers(3, 4, n=4), "n = 4"),
        (lambda: LastLayers(3, 4, n=0), "n = 0"),
    ],
)
def test_layers_that_do_not_exist_are_refused(build: Callable[[], LayerMix], what: str) -> None:
    message = re.escape(f"[E150] There is no {what}: the encoder has 3 layers")
    with pytest.raises(ValueError, match=message):
        build()
