"""Where sequences begin: fresh, after a warm-up text, or where the last call stopped."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from spacy_ctxemb.encoders import BiLM
from spacy_ctxemb.pieces.characters import CharacterPieces

from ..tiny import build_bilm, draw_ids, pad, unpack
from .published_weights import build_encoder, find_fixture, read_hdf5, read_options, set_weights

PIECES = CharacterPieces(50)


#: Of the tiny encoders.
TINY_PIECES = CharacterPieces(7)


def encode(text: str, pieces: CharacterPieces = PIECES) -> Tensor:
    return torch.from_numpy(pieces.encode_sequence(text.split()))


def run(encoder: BiLM, *sentences: Tensor, places: Tensor | None = None) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        ids, mask = pad(sentences)
        return tuple(unpack(layer, mask) for layer in encoder(ids, mask, places))


@pytest.mark.parametrize("fixture", [".", "bilm_tf"])
def test_ten_batches_carry_their_state_as_published(fixture: str) -> None:
    folder = find_fixture(fixture)
    encoder = build_encoder(read_options(folder / "options.json"), stateful=True)
    set_weights(encoder, read_hdf5(folder / "lm_weights.hdf5"))
    name = "sentences.json" if fixture == "." else "lm_embeddings_sentences.json"
    streams = json.loads((folder / name).read_text(encoding="utf8"))
    expected = [read_hdf5(folder / f"lm_embeddings_{k}.hdf5") for k in range(3)]
    for i in range(10):
        top = run(encoder, *(encode(stream[i]) for stream in streams))[-1]
        for k in range(3):
            wanted = np.concatenate(list(expected[k][str(i)]), axis=1)
            assert_allclose(top[k, 1 : len(wanted) + 1], wanted, rtol=1e-5, atol=1e-5)
    state = encoder._carried
    assert state is not None and state.h.size(2) == 3
    run(encoder, *(encode(stream[0]) for stream in streams[:2]))
    later = encoder._carried
    assert later is not None
    assert torch.equal(later.h[:, :, 2], state.h[:, :, 2])  # its row was not in the batch
    assert not torch.equal(later.h[:, :, 1], state.h[:, :, 1])


def test_new_places_begin_at_zero_and_places_may_come_in_any_order() -> None:
    encoder, fresh = build_bilm(stateful=True), build_bilm()
    a, b = draw_ids(encoder, 4), draw_ids(encoder, 6, seed=1)
    first = run(encoder, a, places=torch.tensor([1]))
    torch.testing.assert_close(first, run(fresh, a), rtol=1e-5, atol=1e-6)
    both = run(encoder, a, b, places=torch.tensor([1, 0]))
    torch.testing.assert_close(both[-1][1], run(fresh, b)[-1][0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(both[-1][0, :4], first[-1][0])


def test_an_empty_sentence_moves_the_state() -> None:
    encoder = build_bilm(stateful=True)
    boundaries, a = draw_ids(encoder, 2), draw_ids(encoder, 4, seed=1)
    run(encoder, boundaries)
    after = run(encoder, a)
    encoder.reset_state()
    assert not torch.allclose(run(encoder, a)[-1], after[-1])


def test_the_directions_carry_what_they_read_last() -> None:
    """The forward state stands after a window's last step, the backward one after its first."""
    encoder = build_bilm(stateful=True)
    a = draw_ids(encoder, 5)
    top = run(encoder, a)[1]  # the first LSTM layer: its output is h
    state = encoder._carried
    assert state is not None
    torch.testing.assert_close(state.h[0, 0, 0], top[0, -1, :4])
    torch.testing.assert_close(state.h[1, 0, 0], top[0, 0, 4:])


def test_reset_begins_anew() -> None:
    encoder = build_bilm(stateful=True)
    a = draw_ids(encoder, 4)
    first, second = run(encoder, a), run(encoder, a)
    assert not torch.allclose(first[-1], second[-1])
    encoder.reset_state()
    torch.testing.assert_close(run(encoder, a), first)


def test_carried_states_pass_no_gradient() -> None:
    encoder = build_bilm(stateful=True).train()
    a, mask = draw_ids(encoder, 1, 4), torch.ones(1, 4, dtype=torch.bool)
    for _ in range(2):
        encoder(a, mask)[-1].sum().backward()  # "backward a second time" if it did


def test_inference_and_training_carry_alike() -> None:
    encoder, twin = build_bilm(stateful=True), build_bilm(stateful=True)
    for seed in range(3):
        ids = draw_ids(encoder, 2, 4, seed=seed)
        mask = torch.ones(2, 4, dtype=torch.bool)
        with torch.inference_mode():
            expected = encoder(ids, mask)
        torch.testing.assert_close(twin(ids, mask), expected, rtol=1e-5, atol=1e-6)
    encoder(ids, mask)[-1].sum().backward()  # from a state that inference left


def test_a_warm_start_is_the_state_after_its_sentences() -> None:
    carrying = build_bilm(stateful=True)
    text = "some words here\n\nanother one"
    warm = build_bilm(warm_start=text)
    for sentence in text.split("\n\n"):
        run(carrying, encode(sentence, TINY_PIECES))
    a = draw_ids(warm, 4)
    expected = run(carrying, a)
    for _ in range(2):  # the same in every call, and in every row
        for layer, wanted in zip(run(warm, a, a), expected, strict=True):
            torch.testing.assert_close(layer, wanted.expand_as(layer), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(run(build_bilm(), a)[-1], expected[-1])


def test_a_warm_start_without_dropout_while_training() -> None:
    warm = build_bilm(warm_start="some words", dropout=0.0).train()
    a, mask = draw_ids(warm, 1, 4), torch.ones(1, 4, dtype=torch.bool)
    expected = warm(a, mask)
    warm.set_dropout(0.5)
    start = warm._start.get(warm)
    warm.weights_changed()
    torch.testing.assert_close(warm._start.get(warm), start)
    warm.set_dropout(0.0)
    torch.testing.assert_close(warm(a, mask), expected)


def test_new_weights_move_a_warm_start() -> None:
    warm = build_bilm(warm_start="some words")
    a = draw_ids(warm, 4)
    run(warm, a)
    with torch.no_grad():
        for parameter in warm.parameters():
            parameter.mul_(1.1)
    twin = build_bilm(**warm.settings)
    twin.load_state_dict(warm.state_dict())
    torch.testing.assert_close(run(warm, a), run(twin, a))


def test_a_stateful_encoder_begins_new_places_warm() -> None:
    text = "some words"
    encoder, warm = build_bilm(stateful=True, warm_start=text), build_bilm(warm_start=text)
    a = draw_ids(encoder, 4)
    torch.testing.assert_close(run(encoder, a), run(warm, a))


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_have_no_part_in_each_other(twin_of) -> None:
    encoder = build_bilm(stateful=True, warm_start="some words")
    a = draw_ids(encoder, 4)
    run(encoder, a)
    twin = twin_of(encoder)
    expected = run(encoder, a)
    torch.testing.assert_close(run(twin, a), expected)
    assert not torch.allclose(run(twin, a)[-1], expected[-1])
