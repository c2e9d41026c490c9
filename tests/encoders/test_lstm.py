"""The recurrence against a plain one under autograd, in inference and in training."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from spacy_ctxemb.encoders.kernels.lstm_inference import (
    State,
    chunk_steps,
    find_last_rows,
    find_steps,
)
from spacy_ctxemb.encoders.lstm import LSTM

from ..tiny import check_gradient, randomise

SIZES = [4, 4, 3, 1, 1]  # lengths 5, 3, 3, 2

VARIANTS = {
    "published": {"cell_clip": 3.0, "projection_clip": 3.0},
    "tight clips": {"cell_clip": 0.3, "projection_clip": 0.2},
    "cell clip alone": {"cell_clip": 0.3, "projection_clip": None},
    "no clips": {"cell_clip": None, "projection_clip": None},
    "nothing projected": {"hidden_width": 3, "is_projected": False, "projection_clip": 0.1},
    "projected to the same width": {"hidden_width": 3},
    "projected to a larger width": {"hidden_width": 2},
}


def build(name: str, dtype: torch.dtype = torch.float32) -> LSTM:
    settings = {
        "hidden_width": 5,
        "is_projected": True,
        "cell_clip": 3.0,
        "projection_clip": 3.0,
    } | VARIANTS[name]
    return randomise(LSTM(3, **settings)).to(dtype)


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def draw_state(lstm: LSTM) -> State:
    dtype = lstm.bias.dtype
    return State(
        draw(4, lstm.width, dtype=dtype, seed=2) / 4,
        draw(4, lstm.hidden_width, dtype=dtype, seed=3) / 4,
    )


def run_plainly(lstm: LSTM, x: Tensor, sizes: Sequence[int], state: State) -> tuple[Tensor, State]:
    """The equations of the class, step by step, one sequence after the other."""
    rows: dict[tuple[int, int], Tensor] = {}
    last: list[tuple[Tensor, Tensor]] = []
    steps = find_steps(sizes)
    for b in range(sizes[0]):
        h, c = state.h[b], state.c[b]
        for t, size in enumerate(sizes):
            if b >= size:
                break
            z = lstm.weight_input @ x[steps[t][0] + b] + lstm.weight_hidden @ h + lstm.bias
            i, j, f, o = z.chunk(4)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(j)
            if lstm.clips.cell is not None:
                c = c.clamp(-lstm.clips.cell, lstm.clips.cell)
            h = torch.sigmoid(o) * torch.tanh(c)
            if lstm.projection is not None:
                h = lstm.projection @ h
                if lstm.clips.projection is not None:
                    h = h.clamp(-lstm.clips.projection, lstm.clips.projection)
            rows[t, b] = h
        last.append((h, c))
    y = torch.stack([rows[t, b] for t, size in enumerate(sizes) for b in range(size)])
    return y, State(torch.stack([h for h, _ in last]), torch.stack([c for _, c in last]))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("is_train", [False, True])
def test_steps_and_last_states_equal_a_plain_loop(name: str, is_train: bool) -> None:
    lstm = build(name)
    x, state = draw(sum(SIZES), 3), draw_state(lstm)
    with torch.set_grad_enabled(is_train):
        y, last = lstm(x, SIZES, state)
    expected, expected_last = run_plainly(lstm, x, SIZES, state)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
    for found, wanted in zip(last, expected_last, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
        assert not found.requires_grad


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_equal_those_of_autograd(name: str) -> None:
    lstm = build(name, torch.float64)
    x = draw(sum(SIZES), 3, dtype=torch.float64).requires_grad_()
    state, d_y = draw_state(lstm), draw(sum(SIZES), 3, dtype=torch.float64, seed=4)
    inputs = [x, *lstm.parameters()]
    found = torch.autograd.grad(lstm(x, SIZES, state)[0], inputs, d_y)
    expected = torch.autograd.grad(run_plainly(lstm, x, SIZES, state)[0], inputs, d_y)
    for a, b in zip(found, expected, strict=True):
        assert b.any()
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_gradient_equals_finite_differences() -> None:
    lstm = build("published", torch.float64)
    x, weights = draw(sum(SIZES), 3, dtype=torch.float64), draw(12, 3, dtype=torch.float64, seed=5)
    check_gradient(
        lambda: (lstm(x, SIZES)[0][:12] * weights[: len(x)]).sum(), lstm.named_parameters()
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_bf16_training_is_near_fp32(name: str) -> None:
    lstm = build(name)
    x, state = draw(sum(SIZES), 3).requires_grad_(), draw_state(lstm)
    d_y = draw(sum(SIZES), 3, seed=4)
    inputs = [x, *lstm.parameters()]
    (exact, exact_last), (y, last) = lstm(x, SIZES, state), run_in_bf16(lstm, x, state)
    for found, expected in zip((y, *last), (exact, *exact_last), strict=True):
        assert found.dtype == torch.float32
        assert 1e-5 < (found - expected).abs().max() < 0.02
    expected_gradients = torch.autograd.grad(exact, inputs, d_y)
    for found, expected in zip(
        torch.autograd.grad(y, inputs, d_y), expected_gradients, strict=True
    ):
        assert found.dtype == torch.float32
        assert 0.0 < (found - expected).norm() / expected.norm() < 0.02


def run_in_bf16(lstm: LSTM, x: Tensor, state: State) -> tuple[Tensor, State]:
    with torch.autocast("cpu", torch.bfloat16):
        return lstm(x, SIZES, state)


def test_clipped_values_pass_no_gradient_in_bf16() -> None:
    """Bounds that bf16 rounds to a smaller number are no exception."""
    lstm = LSTM(3, 5, is_projected=True, cell_clip=None, projection_clip=0.2998)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.fill_(2.0)
    x = torch.ones(1, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = lstm(x, [1])
    torch.testing.assert_close(y, torch.full((1, 3), 0.2998))
    y.sum().backward()
    assert x.grad is not None and not x.grad.any()


def test_frozen_weights_get_no_gradient() -> None:
    lstm = build("published")
    lstm.weight_hidden.requires_grad_(False)
    lstm(draw(sum(SIZES), 3), SIZES)[0].sum().backward()
    assert lstm.weight_hidden.grad is None
    assert lstm.weight_input.grad is not None


def test_the_state_given_is_not_changed() -> None:
    lstm = build("published")
    state = draw_state(lstm)
    before = State(*(part.clone() for part in state))
    with torch.inference_mode():
        lstm(draw(sum(SIZES), 3), SIZES, state)
    assert all(torch.equal(a, b) for a, b in zip(state, before, strict=True))


def test_inference_sees_changed_weights() -> None:
    lstm = build("published")
    x = draw(sum(SIZES), 3)
    with torch.no_grad():
        before = lstm(x, SIZES)[0]
        lstm.weight_hidden.mul_(2)
        after = lstm(x, SIZES)[0]
    expected, _ = run_plainly(lstm, x, SIZES, lstm.zero_state(4))
    torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(before, after)


def test_bf16_is_near_fp32() -> None:
    lstm = build("published")
    x = draw(sum(SIZES), 3)
    with torch.inference_mode():
        exact = lstm(x, SIZES)[0]
        lstm.set_dtype(torch.bfloat16)
        rounded = lstm(x, SIZES)[0]
        lstm.set_dtype(None)
        assert torch.equal(lstm(x, SIZES)[0], exact)
    assert 1e-5 < (rounded - exact).abs().max() < 0.02
    assert rounded.dtype == torch.float32


def test_chunks_hold_all_steps_in_order() -> None:
    sizes = [5, 5, 3, 2, 1, 1, 1]
    chunks = list(chunk_steps(sizes, 4))
    assert [step for chunk in chunks for step in chunk] == find_steps(sizes)
    assert [[end - start for start, end in chunk] for chunk in chunks] == [
        [5],
        [5],
        [3],
        [2, 1, 1],
        [1],
    ]


def test_last_rows_are_those_of_each_sequence() -> None:
    assert find_last_rows([3, 2, 2, 1], torch.device("cpu")).tolist() == [7, 6, 2]


def test_sequences_may_begin_again() -> None:
    """At steps that do not continue, whatever was before is forgotten; gradients agree."""
    torch.manual_seed(0)
    lstm = LSTM(4, 6, is_projected=True, cell_clip=3.0, projection_clip=3.0).double()
    lstm.reset_parameters()
    sizes = [3] * 5
    x = torch.randn(15, 4, dtype=torch.double, requires_grad=True)
    start = State(*(torch.randn(3, width, dtype=torch.double) for width in (4, 6)))
    continues = torch.ones(15, dtype=torch.double)
    continues[[4, 9]] = 0  # the second sequence at its second step, the first one at its fourth
    y = lstm(x, sizes, start, continues)[0].unflatten(0, (5, 3))
    second, first = (
        lstm(x.unflatten(0, (5, 3))[t:, i], [1] * (5 - t))[0] for i, t in [(1, 1), (0, 3)]
    )
    torch.testing.assert_close(y[1:, 1], second)
    torch.testing.assert_close(y[3:, 0], first)
    torch.testing.assert_close(y[:, 2], lstm(x, sizes, start)[0].unflatten(0, (5, 3))[:, 2])

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        return lstm(x, sizes, start, continues)[0]

    assert torch.autograd.gradcheck(run, (x, *lstm.parameters()))
