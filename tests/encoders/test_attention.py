"""Attention over packed windows, its masks and positions against plain loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import profile

from spacy_ctxemb.encoders import attention
from spacy_ctxemb.encoders.attention import (
    RelativeBias,
    SelfAttention,
    attend,
    build_local_mask,
    build_rotation,
    find_buckets,
)
from spacy_ctxemb.encoders.pack_rows_for_attention import Run, Steps

from ..tiny import randomise


def build_mask(*lengths: int) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def test_runs_are_neighbours_of_one_length() -> None:
    steps = Steps(build_mask(4, 4, 2, 4, 1, 1, 1))
    assert steps.runs == [Run(2, 4), Run(1, 2), Run(1, 4), Run(3, 1)]
    assert steps.positions.tolist() == [0, 1, 2, 3] * 2 + [0, 1] + [0, 1, 2, 3] + [0] * 3
    x = torch.arange(17)
    parts = steps.split(x)
    assert torch.equal(torch.cat([part.flatten() for part in parts]), x)
    assert [tuple(part.shape) for part in parts] == steps.runs
    assert parts[1].tolist() == [[8, 9]]


def test_a_window_without_steps_has_no_run() -> None:
    assert Steps(build_mask(0, 3, 0, 3)).runs == [Run(2, 3)]


@pytest.mark.parametrize("turns", [False, True])
def test_gradients_of_runs_are_joined_at_once(turns: bool) -> None:
    """A slice for each run would clear, and add up, a tensor of all rows for each of them."""
    steps = Steps(build_mask(5, 4, 3, 2))
    layer = SelfAttention(8, 2, 0.0)
    x = torch.randn(14, 8, requires_grad=True)
    y = layer(x, steps, rotation=torch.neg if turns else None)
    with profile() as log:
        y.sum().backward()
    counts = {event.key: event.count for event in log.key_averages()}
    assert counts["SplitWithSizesBackward0"] == 1 + turns and "SliceBackward0" not in counts


def attend_by_loop(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """One query at a time. (T, d) each; (T, T)."""
    rows = []
    for t in range(len(q)):
        weights = torch.tensor(
            [math.exp(float(q[t] @ k[s]) / q.size(1) ** 0.5) for s in range(len(k))]
        )
        weights = weights * bias[t].exp()
        rows.append((weights / weights.sum()) @ v)
    return torch.stack(rows)


@pytest.mark.parametrize("with_gradients", [False, True])
@pytest.mark.parametrize("T", [1, 7, attention.SHORT, attention.SHORT + 1, 70])
@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_equals_a_loop(
    T: int, with_bias: bool, with_gradients: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "LONG", 70)
    monkeypatch.setattr(attention, "HAS_AVX512_ALONE", True)
    generator = torch.Generator().manual_seed(T)
    q, k, v = torch.randn(3, 2, 3, T, 4, generator=generator)
    bias = torch.randn(3, T, T, generator=generator)
    with torch.set_grad_enabled(with_gradients):
        found = attend(q, k, v, bias if with_bias else None, 0.0)
    for b in range(2):
        for h in range(3):
            added = bias[h] if with_bias else torch.zeros(T, T)
            expected = attend_by_loop(q[b, h], k[b, h], v[b, h], added)
            torch.testing.assert_close(found[b, h], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_gradients_in_bf16_are_near_those_of_fp32(
    with_bias: bool, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = list(torch.randn(3, 2, 3, 9, 4, generator=generator).requires_grad_().unbind())
    bias = torch.randn(3, 9, 9, generator=generator) if with_bias else None
    kept = (torch.rand(2, 3, 9, 9, generator=generator) >= dropout) / (1 - dropout)
    monkeypatch.setattr(F, "dropout", lambda w, p: w * kept.to(w.dtype) if p else w)
    q, k, v = inputs
    scores = q @ k.transpose(-1, -2) / 2 + (0.0 if bias is None else bias)
    exact = (torch.softmax(scores, dim=-1) * (kept if dropout else 1.0)) @ v
    low = [x.bfloat16() for x in (*inputs, *([] if bias is None else [bias]))]
    rounded = attend(*low[:3], low[3] if with_bias else None, dropout)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)
    dy = torch.randn(exact.shape, generator=generator)
    expected = torch.autograd.grad(exact, inputs, dy)
    found = torch.autograd.grad(rounded, inputs, dy.bfloat16())
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() / b.norm() < 0.02


@pytest.fixture(params=["AVX2", "AVX-512", "AMX"])
def any_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Routines that are chosen on other CPUs run on this one too."""
    monkeypatch.setattr(attention, "HAS_AVX512_ALONE", request.param == "AVX-512")
    monkeypatch.setattr(attention, "HAS_AMX", request.param == "AMX")


#: Around the lengths at which another routine is taken.
LENGTHS = [1, 2, *(n + i for n in (attention.SHORT, attention.LONG) for i in (-1, 0, 1))]


def draw_packed(T: int, *, n_windows: int = 2, seed: int = 0) -> Tensor:
    """Queries, keys and values of 3 heads of width 8 as a block has them: parts of one tensor."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_windows, T, 3, 3, 8, generator=generator).permute(2, 0, 3, 1, 4)


def draw_bias(T: int, n_heads: int) -> Tensor:
    """Of some heads, or of all together, in which some steps are hidden."""
    bias = torch.randn(n_heads, T, T, generator=torch.Generator().manual_seed(T))
    return bias + build_local_mask(T, reach=T // 2)


def attend_exactly(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    scores = q.double() @ k.double().transpose(-1, -2) / q.size(-1) ** 0.5
    return torch.softmax(scores if bias is None else scores + bias, dim=-1) @ v.double()


@pytest.mark.usefixtures("any_cpu")
@pytest.mark.parametrize("with_gradients", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_biased", [0, 1, 3])
@pytest.mark.parametrize("T", LENGTHS)
def test_any_length_equals_the_formula(
    T: int, n_biased: int, dtype: torch.dtype, with_gradients: bool
) -> None:
    given = draw_packed(T).to(dtype)
    bias = draw_bias(T, n_biased).to(dtype) if n_biased else None
    before = given.clone()
    with torch.set_grad_enabled(with_gradients):
        found = attend(*given, bias, 0.0)
    assert found.dtype == dtype and torch.equal(given, before)
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.03, "atol": 0.03}
    torch.testing.assert_close(found.double(), attend_exactly(*given, bias), **close)


@pytest.mark.parametrize("n_biased", [0, 1, 3])
@pytest.mark.parametrize("T", LENGTHS)
def test_gradients_of_any_length_equal_those_of_the_formula(T: int, n_biased: int) -> None:
    given = draw_packed(T).requires_grad_()
    bias = draw_bias(T, n_biased).requires_grad_() if n_biased else None
    inputs = [given] if bias is None else [given, bias]
    dy = draw_packed(T, seed=1)[0]
    expected = torch.autograd.grad(attend_exactly(*given, bias), inputs, dy.double())
    found = torch.autograd.grad(attend(*given, bias, 0.0), inputs, dy)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("any_cpu")
@pytest.mark.parametrize("T", [attention.SHORT, attention.SHORT + 1, attention.LONG])
@torch.no_grad()
def test_large_scores_choose_one_step(T: int) -> None:
    q, k, v = draw_packed(T) * 1e4
    chosen = (q @ k.transpose(-1, -2)).argmax(dim=-1)
    expected = torch.gather(v, 2, chosen[..., None].expand_as(v))
    torch.testing.assert_close(attend(q, k, v, None, 0.0), expected)


@torch.no_grad()
def test_compiled_attention_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "HAS_AVX512_ALONE", True)
    T = attention.LONG
    compiled = torch.compile(attend, backend="eager", fullgraph=True)
    given, bias = draw_packed(T), draw_bias(T, 1)
    torch.testing.assert_close(
        compiled(*given, bias, 0.0), attend(*given, bias, 0.0), rtol=1e-5, atol=1e-5
    )


@pytest.mark.usefixtures("any_cpu")
@pytest.mark.parametrize("with_rotation", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@torch.inference_mode()
def test_windows_of_all_lengths_together_are_as_alone(with_bias: bool, with_rotation: bool) -> None:
    """The weights of each window, which the formula gives, applied to its values."""
    lengths = [attention.LONG + 1] * 2 + [attention.LONG, attention.SHORT + 1, 5, 5, 1]
    steps, n = Steps(build_mask(*lengths)), sum(lengths)
    module = randomise(SelfAttention(12, 3, 0.0)).eval()
    bias = randomise(RelativeBias(8, 3)) if with_bias else None
    rotation = build_rotation(steps.positions, 4, 100.0) if with_rotation else None
    x = torch.randn(n + 3, 12, generator=torch.Generator().manual_seed(0))
    found = module(x, steps, bias, rotation)
    assert found.shape == x.shape
    values = module.query_key_value(x[:n])[:, 24:].unflatten(1, (3, 4))  # (N, n_heads, d)
    weights = module.weights(x, steps, bias, rotation)
    windows = zip(weights, values.split(lengths), strict=True)
    rows = [(w @ v.transpose(0, 1)).transpose(0, 1).flatten(1) for w, v in windows]
    expected = module.output(torch.cat(rows))
    torch.testing.assert_close(found[:n], expected, rtol=1e-4, atol=1e-5)


def test_parts_of_a_large_batch_are_equal_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = torch.randn(3, 5, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = attend(q, k, v, None, 0.0)
        monkeypatch.setattr(attention, "HAS_AVX512_ALONE", True)
        monkeypatch.setattr(attention, "MAX_SCORES", 2 * 6 * 6 * 2)
        torch.testing.assert_close(attend(q, k, v, None, 0.0), expected)


def test_windows_do_not_see_each_other() -> None:
    module = randomise(SelfAttention(8, 2, 0.0)).eval()
    x = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = module(x, Steps(build_mask(4, 4, 1)))
        alone = [module(part, Steps(build_mask(len(part)))) for part in x.split([4, 4, 1])]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_rotation_turns_pairs_by_their_position() -> None:
    d, theta = 6, 100.0
    x = torch.randn(4, 2, 3, d, generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([0, 1, 5, 2])
    found = build_rotation(positions, d, theta)(x)
    for n, position in enumerate(positions.tolist()):
        for i in range(d // 2):
            angle = position / theta ** (2 * i / d)
            a, b = x[n, :, :, i], x[n, :, :, i + d // 2]
            cos, sin = math.cos(angle), math.sin(angle)
            torch.testing.assert_close(found[n, :, :, i], a * cos - b * sin)
            torch.testing.assert_close(found[n, :, :, i + d // 2], b * cos + a * sin)


def test_scores_of_rotated_vectors_depend_on_distances_alone() -> None:
    q, k = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))

    def score(a: int, b: int) -> float:
        turn = build_rotation(torch.tensor([a, b]), 8, 10.0)
        rows = turn(torch.stack([q, k])[:, None, None]).flatten(1)
        return float(rows[0] @ rows[1])

    assert score(3, 1) == pytest.approx(score(12, 10), abs=1e-4)
    assert score(3, 1) != pytest.approx(score(3, 2), abs=1e-2)


@pytest.mark.parametrize("reach", [0, 1, 3])
def test_a_local_mask_hides_what_is_farther_than_its_reach(reach: int) -> None:
    mask = build_local_mask(7, reach=reach)[0]
    for a in range(7):
        for b in range(7):
            assert float(mask[a, b]) == (0.0 if abs(a - b) <= reach else -math.inf)


def test_buckets_are_exact_then_logarithmic() -> None:
    """Of 32: 16 for steps after; of these 8 exact, then log(n / 8) / log(16) * 8 more."""
    distances = torch.tensor(
        [0, -1, -7, -8, -15, -16, -64, -127, -128, -999, 1, 7, 8, 20, 128, 999]
    )
    expected = [0, 1, 7, 8, 9, 10, 14, 15, 15, 15, 17, 23, 24, 26, 31, 31]
    assert find_buckets(distances, 32).tolist() == expected


def test_a_relative_bias_is_one_number_a_head_and_bucket() -> None:
    module = randomise(RelativeBias(8, 3))
    bias = module(6)
    assert bias.shape == (3, 6, 6)
    for a in range(6):
        for b in range(6):
            bucket = int(find_buckets(torch.tensor([b - a]), 8))
            assert torch.equal(bias[:, a, b], module.weight[bucket])
