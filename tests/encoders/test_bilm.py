"""The biLM against plain loops and published outputs, and what each direction may see."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor

from spacy_ctxemb.encoders import BiLM
from spacy_ctxemb.pieces.characters import CharacterPieces

from ..tiny import build_bilm, draw_ids, pad, unpack
from .bilm_loop import Options, run_sentence
from .published_weights import (
    build_encoder,
    draw_weights,
    find_fixture,
    read_hdf5,
    read_options,
    set_weights,
)

SENTENCES = (
    ["A", "short", "one"],
    ["the", "the", "longest", "of", "them", ",", "naïve", "日本語", "."],
    [],
    ["word"],
)


def encode_sentence(words: list[str], max_characters: int) -> Tensor:
    """Character ids of a sentence between its boundaries. (T, C)"""
    pieces = CharacterPieces(max_characters)
    begin, end = pieces.boundaries
    return torch.from_numpy(np.concatenate([begin[None], pieces.encode_words(words), end[None]]))


def run(encoder: BiLM, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        return tuple(unpack(layer, mask) for layer in encoder(ids, mask))


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(activation="tanh", n_highways=0, n_layers=1),
        Options(n_highways=3, n_layers=3),
        Options(cell_clip=None, projection_clip=None),
        Options(cell_clip=0.1, projection_clip=0.1, n_layers=3),
        Options(cell_clip=0.1, projection_clip=None),
        Options(cell_clip=None, projection_clip=0.1),
        Options(skip_connections=False, n_layers=3),
        Options(hidden_width=5, projection_clip=0.1),  # nothing to project, nothing to clip
        Options(hidden_width=5, project_hidden=True, projection_clip=0.1),
        Options(hidden_width=3),  # projected to more
        Options(width=15, hidden_width=15, project_filters=True),
        Options(width=20),  # fewer filters
        Options(width=15, hidden_width=20),  # as many filters: no projection after the CNN
        Options(width=15, hidden_width=15, activation="tanh", skip_connections=False),
    ],
    ids=lambda options: ",".join(
        f"{name}={value}"
        for name, value in options._asdict().items()
        if value != getattr(Options(), name)
    ),
)
def test_layers_equal_a_plain_loop(options: Options) -> None:
    weights = draw_weights(options)
    encoder = set_weights(build_encoder(options), weights)
    sentences = [encode_sentence(words, options.max_characters) for words in SENTENCES]
    ids, mask = pad(sentences, T=12)
    layers = run(encoder, ids, mask)
    assert len(layers) == options.n_layers + 1
    for b, sentence in enumerate(sentences):
        for found, expected in zip(
            layers, run_sentence(sentence.numpy(), weights, options), strict=True
        ):
            assert_allclose(found[b, : len(sentence)], expected, rtol=1e-5, atol=1e-5)
            assert not found[b, len(sentence) :].any()


def test_long_sentences_of_many_scripts_beside_short_ones() -> None:
    """200 tokens, emoji, CJK, words beyond max_characters, and an empty sentence."""
    options = Options(max_characters=50, width=16, hidden_width=48, n_layers=3, n_highways=3)
    # Of a trained model's size: large random weights blow rounding up over so many steps.
    weights = {name: value * np.float32(0.3) for name, value in draw_weights(options).items()}
    encoder = set_weights(build_encoder(options), weights)
    words = ["naïve", "日本語" * 9, "🦦" * 13, "x" * 80, "", "<S>", "a", "it's", "…"]
    texts = [words * 20, words, [], ["🦦"]]
    sentences = [encode_sentence(text, options.max_characters) for text in texts]
    layers = run(encoder, *pad(sentences))
    for b, sentence in enumerate(sentences):
        expected = run_sentence(sentence.numpy(), weights, options)
        for found, wanted in zip(layers, expected, strict=True):
            assert_allclose(found[b, : len(sentence)], wanted, rtol=1e-5, atol=1e-5)


def test_clips_act_on_cell_and_projection() -> None:
    """Guards the comparison above: its tight clips change the result."""
    ids, mask = pad([encode_sentence(SENTENCES[1], 8)])
    results = [
        run(set_weights(build_encoder(options), draw_weights(options)), ids, mask)[1]
        for options in (
            Options(cell_clip=None, projection_clip=None),
            Options(cell_clip=0.1, projection_clip=None),
            Options(cell_clip=None, projection_clip=0.1),
        )
    ]
    unbounded, cells, projections = results
    assert (unbounded - cells).abs().max() > 0.1
    assert unbounded.abs().max() > 0.5
    assert projections.abs().max().item() == pytest.approx(0.1)


@pytest.mark.parametrize("fixture", [".", "bilm_tf"])
def test_layers_equal_the_published_ones(fixture: str) -> None:
    """The first batch of the reference, which started from a fresh state as we always do."""
    folder = find_fixture(fixture)
    options = read_options(folder / "options.json")
    assert options.skip_connections == (fixture == ".")
    encoder = set_weights(build_encoder(options), read_hdf5(folder / "lm_weights.hdf5"))
    name = "sentences.json" if fixture == "." else "lm_embeddings_sentences.json"
    texts = [stream[0] for stream in json.loads((folder / name).read_text(encoding="utf8"))]
    ids, mask = pad([encode_sentence(text.split(), options.max_characters) for text in texts])
    top = run(encoder, ids, mask)[-1]
    for b, text in enumerate(texts):
        forward, backward = read_hdf5(folder / f"lm_embeddings_{b}.hdf5")["0"]
        assert len(forward) == len(text.split()) == int(mask[b].sum()) - 2
        expected = np.concatenate([forward, backward], axis=1)
        assert_allclose(top[b, 1 : 1 + len(forward)], expected, rtol=1e-5, atol=1e-6)


@given(st.integers(1, 8), st.data())
def test_halves_see_one_side_only(T: int, data: st.DataObject) -> None:
    encoder = build_bilm()
    ids, mask = draw_ids(encoder, 2, T, seed=1), torch.ones(2, T, dtype=torch.bool)
    changed = data.draw(st.integers(0, T - 1))
    other = ids.clone()
    other[:, changed] = draw_ids(encoder, 2, seed=2)
    steps = torch.arange(T)
    for layer, (a, b) in enumerate(
        zip(run(encoder, ids, mask), run(encoder, other, mask), strict=True)
    ):
        forward, backward = (a - b).abs().unflatten(-1, (2, -1)).amax(dim=(0, 3)).T  # (T,) each
        reached = (
            (steps == changed, steps == changed)
            if layer == 0
            else (steps >= changed, steps <= changed)
        )
        assert torch.equal(forward > 1e-6, reached[0])
        assert torch.equal(backward > 1e-6, reached[1])


def test_the_first_layer_is_the_token_vector_twice_wherever_it_stands() -> None:
    encoder = build_bilm()
    ids = draw_ids(encoder, 2, 6)
    ids[1] = ids[0].flip(0)
    first = run(encoder, ids, torch.ones(2, 6, dtype=torch.bool))[0]
    half = encoder.width // 2
    vectors = encoder.token_encoder(ids[0])
    for found in (first[0, :, :half], first[0, :, half:], first[1].flip(0)[:, :half]):
        torch.testing.assert_close(found, vectors, rtol=1e-5, atol=1e-6)


def test_state_is_fresh_in_every_call() -> None:
    encoder = build_bilm()
    ids, mask = draw_ids(encoder, 3, 5), torch.ones(3, 5, dtype=torch.bool)
    for a, b in zip(run(encoder, ids, mask), run(encoder, ids, mask), strict=True):
        assert torch.equal(a, b)


def test_skipped_input_is_the_dropped_one() -> None:
    """With a rate near 1, and cells of 0, the top layer is 0: nothing of its input is left."""
    encoder = build_bilm(dropout=0.999999)
    with torch.no_grad():
        for lstms in encoder.directions:
            lstms[1].projection.zero_()
    ids, mask = draw_ids(encoder, 2, 5), torch.ones(2, 5, dtype=torch.bool)
    assert run(encoder, ids, mask)[2].any()
    torch.manual_seed(0)
    with torch.no_grad():
        first, below, top = encoder.train()(ids, mask)
    assert first.any() and below.any()
    assert not top.any()


def test_initial_values_are_those_of_the_original_training() -> None:
    torch.manual_seed(0)
    encoder = build_bilm(width=64, hidden_width=96, n_lstm_layers=1)
    encoder.reset_parameters()
    layer = encoder.directions[1][0]
    bound = (6 / (2 * 32 + 4 * 96)) ** 0.5
    for weight in (layer.weight_input, layer.weight_hidden):
        assert 0.99 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    bound = (6 / (32 + 96)) ** 0.5
    assert 0.99 * bound < layer.projection.abs().max() <= bound
    assert not layer.bias.any()  # the forget gate's 1 is added at run time


@pytest.mark.parametrize("width, hidden_width", [(7, 9), (8, 0)])
def test_widths_that_do_not_fit_are_refused(width: int, hidden_width: int) -> None:
    message = rf"\[E101\] .* width {width} must be even, and hidden_width {hidden_width} at least"
    with pytest.raises(ValueError, match=message):
        build_bilm(width=width, hidden_width=hidden_width)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"project_hidden": False}, "project_hidden is false, but hidden_width is 6 and .* 4"),
        ({"project_filters": False}, "project_filters is false, but the number .* is 12 and .* 4"),
    ],
)
def test_a_projection_that_is_needed(settings: dict[str, bool], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[E106\] {message}"):
        build_bilm(**settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"n_lstm_layers": 0}, "n_lstm_layers of the biLM is 0, but must be at least 1"),
        ({"word_cache": -1}, "word_cache of the biLM is -1, but must be at least 0"),
        ({"cell_clip": -3.0}, "cell_clip of the biLM is -3.0, but must be at least 0"),
        ({"projection_clip": -1}, "projection_clip of the biLM is -1, but must be at least 0"),
    ],
)
def test_numbers_that_are_too_small(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[E105\] {message}"):
        build_bilm(**settings)


def test_a_clip_of_zero_is_none() -> None:
    ids, mask = pad([encode_sentence(SENTENCES[1], 7)])
    free, zero = (build_bilm(cell_clip=clip, projection_clip=clip) for clip in (None, 0))
    torch.testing.assert_close(run(free, ids, mask), run(zero, ids, mask))


def test_a_filter_longer_than_a_word_is_refused() -> None:
    message = r"\[E102\] A character filter of width 9 .* max_characters of 8"
    with pytest.raises(ValueError, match=message):
        build_bilm(filters=[(1, 2), (9, 2)], max_characters=8)
