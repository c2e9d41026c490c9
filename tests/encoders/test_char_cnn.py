"""The character CNN against plain loops and published vectors."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from spacy_ctxemb.encoders.char_cnn import CharacterCNN, Highway
from spacy_ctxemb.pieces.characters import CharacterPieces

from ..tiny import check_gradient, randomise
from .bilm_loop import Options, encode_token
from .published_weights import (
    build_encoder,
    draw_weights,
    find_fixture,
    read_hdf5,
    read_options,
    set_weights,
)


def build_cnn(**changes: object) -> CharacterCNN:
    settings = {
        "n_characters": 20,
        "character_width": 3,
        "filters": [(1, 4), (3, 5)],
        "activation": "tanh",
        "n_highways": 1,
        "width": 6,
    }
    return CharacterCNN(**settings | changes)


def draw_ids(n: int, C: int) -> torch.Tensor:
    return torch.randint(1, 20, (n, C), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("n_highways", [0, 1, 3])
@pytest.mark.parametrize("width", [5, 15])  # 15 filters: no projection
def test_vectors_equal_a_plain_loop(activation: str, n_highways: int, width: int) -> None:
    options = Options(activation=activation, n_highways=n_highways, width=width, hidden_width=width)
    weights = draw_weights(options)
    cnn = set_weights(build_encoder(options), weights).token_encoder
    assert (cnn.projection is None) == (width == 15)
    ids = CharacterPieces(8).encode_words(["a", "word", "longer than that", "日本", ""])
    expected = np.array([encode_token(row, weights, options) for row in ids])
    with torch.inference_mode():
        found = cnn(torch.from_numpy(ids)).numpy()
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_vectors_equal_the_published_ones() -> None:
    folder = find_fixture(".")
    weights = read_hdf5(folder / "lm_weights.hdf5")
    encoder = set_weights(build_encoder(read_options(folder / "options.json")), weights)
    words = (folder / "vocab_test.txt").read_text(encoding="utf8").split("\n")[:458]
    expected = read_hdf5(folder / "elmo_token_embeddings.hdf5")["embedding"]
    with torch.inference_mode():
        found = encoder.token_encoder(torch.from_numpy(CharacterPieces(50).encode_words(words)))
    assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_highway_is_its_formula() -> None:
    highway = randomise(Highway(4)).double()
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).view(3, 4)
    gate = torch.sigmoid(x @ highway.gate.weight.T + highway.gate.bias)
    transformed = torch.relu(x @ highway.transform.weight.T + highway.transform.bias)
    torch.testing.assert_close(highway(x), gate * transformed + (1 - gate) * x)


def test_a_word_does_not_depend_on_others() -> None:
    cnn, ids = randomise(build_cnn()), draw_ids(5, 6)
    together = cnn(ids)
    for i in range(5):
        torch.testing.assert_close(cnn(ids[i : i + 1])[0], together[i], rtol=1e-5, atol=1e-6)


def test_padding_characters_of_a_word_count() -> None:
    """As in ELMo, where word padding is a character like others."""
    cnn = randomise(build_cnn(filters=[(1, 30), (2, 30)]))
    short, long = torch.tensor([[2, 3, 4]]), torch.tensor([[2, 3, 4, 1, 1]])
    assert (cnn(short) - cnn(long)).abs().max() > 0.01


def test_gradient_equals_finite_differences() -> None:
    cnn, ids = randomise(build_cnn(n_highways=2)).double(), draw_ids(4, 6)
    check_gradient(lambda: cnn(ids).pow(2).sum(), cnn.named_parameters())


def test_the_mask_row_gets_no_gradient() -> None:
    cnn = randomise(build_cnn())
    ids = draw_ids(4, 6)
    ids[:, 3:] = 0
    cnn(ids).sum().backward()
    assert not cnn.embedding.weight.grad[0].any()
    assert cnn.embedding.weight.grad[1:].any()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_initial_values_are_those_of_the_original_training(activation: str) -> None:
    torch.manual_seed(0)
    cnn = build_cnn(
        n_characters=262,
        character_width=16,
        filters=[(1, 200), (7, 200)],
        activation=activation,
        width=64,
    )
    randomise(cnn).reset_parameters()
    table = cnn.embedding.weight
    assert not table[0].any()
    assert -1 <= table.min() < -0.99 and 0.99 < table.max() <= 1
    for size, convolution in zip((1, 7), cnn.convolutions, strict=True):
        std = 0.05 / math.sqrt(3) if activation == "relu" else math.sqrt(1 / (size * 16))
        assert convolution.weight.std().item() == pytest.approx(std, rel=0.05)
        assert (convolution.weight.abs().max() <= 0.05) == (activation == "relu")
    for highway in cnn.highways:
        for linear, bias in ((highway.gate, -2.0), (highway.transform, 0.0)):
            assert linear.weight.std().item() == pytest.approx(math.sqrt(1 / 400), rel=0.02)
            assert (linear.bias == bias).all()
    assert cnn.projection.weight.std().item() == pytest.approx(math.sqrt(1 / 400), rel=0.05)
    biases = [cnn.projection.bias, *(convolution.bias for convolution in cnn.convolutions)]
    assert not any(bias.any() for bias in biases)


def test_an_unknown_activation_is_refused() -> None:
    message = r"\[E100\] There is no activation 'gelu'\. Use one of \['relu', 'tanh'\]"
    with pytest.raises(ValueError, match=message):
        build_cnn(activation="gelu")
