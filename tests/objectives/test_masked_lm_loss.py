"""Masked language modelling: what is hidden, and the loss of predicting it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from spacy_ctxemb.encoders import TransformerEncoder
from spacy_ctxemb.objectives import OBJECTIVES, MaskedLMObjective
from spacy_ctxemb.objectives.base import NO_TARGET
from spacy_ctxemb.objectives.masked_lm_loss import NextSentenceHead
from spacy_ctxemb.objectives.masking import Masking, find_words

from ..strategies import ids_P_stretches_W, stretches_W
from ..texts import lay_pieces
from ..tiny import build_bilm, build_transformer, check_gradient, draw_ids, pad, randomise, unpack

Ints = NDArray[np.int64]
Drawn = tuple[NDArray[np.int32], Ints, Ints]

MASK, N_PIECES = 4, 25

#: Not all of them are the first ones.
SPECIAL = [0, 1, 2, 4, 9, 24]


def build_objective(
    encoder: TransformerEncoder | None = None, *, share: float = 0.3, whole_words: bool = False
) -> MaskedLMObjective:
    """An objective with random values over 25 of an encoder's 30 pieces."""
    objective = MaskedLMObjective(
        build_transformer() if encoder is None else encoder,
        Masking(MASK, SPECIAL, N_PIECES, share, whole_words),
    )
    return randomise(objective)


@given(
    drawn=ids_P_stretches_W(N_PIECES),
    share=st.sampled_from([0.01, 0.15, 0.5, 0.99]),
    whole_words=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_corruption_touches_eligible_pieces_only(
    drawn: Drawn, share: float, whole_words: bool, seed: int
) -> None:
    ids, starts, lengths = drawn
    before = ids.copy()
    corruption = Masking(MASK, SPECIAL, N_PIECES, share, whole_words)
    corrupted, targets = corruption(ids, starts, lengths, np.random.default_rng(seed))
    assert (ids == before).all()
    assert corrupted.dtype == targets.dtype == np.int32
    chosen = targets != NO_TARGET
    assert (targets[chosen] == ids[chosen]).all()
    assert not np.isin(ids[chosen], SPECIAL).any()
    assert (corrupted[~chosen] == ids[~chosen]).all()
    new = corrupted[corrupted != ids]
    assert ((new == MASK) | ~np.isin(new, SPECIAL)).all()
    assert ((new >= 0) & (new < N_PIECES)).all()


@given(drawn=ids_P_stretches_W(N_PIECES), seed=st.integers(0, 1000))
def test_whole_words_are_chosen_together(drawn: Drawn, seed: int) -> None:
    ids, starts, lengths = drawn
    corruption = Masking(MASK, SPECIAL, N_PIECES, 0.5, True)
    _, targets = corruption(ids, starts, lengths, np.random.default_rng(seed))
    for start, n in zip(starts, lengths, strict=True):
        eligible = ~np.isin(ids[start : start + n], SPECIAL)
        chosen = targets[start : start + n][eligible] != NO_TARGET
        assert chosen.all() or not chosen.any()


@given(stretches_W())
def test_words_are_what_tokens_join(drawn: tuple[int, Ints, Ints]) -> None:
    """Pieces are of one word if a chain of tokens, each with a piece of the next, leads there."""
    P, starts, lengths = drawn
    expected = list(range(P))
    for _ in range(P):
        for start, n in zip(starts, lengths, strict=True):
            expected[start : start + n] = [min(expected[start : start + n], default=0)] * n
    found = find_words(starts, lengths, n_pieces=P).tolist()
    assert len(found) == P and all(0 <= word < P for word in found)
    for a in range(P):
        assert [word == found[a] for word in found] == [word == expected[a] for word in expected]


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_shares_are_those_of_bert(share: float, whole_words: bool) -> None:
    rng = np.random.default_rng(0)
    n_special, n_pieces = 5, 105
    lengths = rng.integers(0, 4, size=100_000)
    ids = rng.integers(n_special, n_pieces, size=lengths.sum()).astype(np.int32)
    starts = np.cumsum(lengths) - lengths
    corruption = Masking(MASK, list(range(n_special)), n_pieces, share, whole_words)
    corrupted, targets = corruption(ids, starts, lengths, rng)
    chosen = targets != NO_TARGET
    assert chosen.mean() == pytest.approx(share, rel=0.02)
    found = corrupted[chosen]
    hidden, kept = found == MASK, found == ids[chosen]
    assert hidden.mean() == pytest.approx(0.8, abs=0.01)
    # One random piece in a hundred is the true one.
    assert kept.mean() == pytest.approx(0.1, abs=0.01)
    random = found[~hidden & ~kept]
    assert random.min() == n_special and random.max() == n_pieces - 1
    assert np.std(np.bincount(random)[n_special:]) < 2 * np.sqrt(len(random) / 100)


def test_pieces_of_a_word_may_differ_without_whole_words() -> None:
    ids, starts, lengths = np.full(1000, 8, dtype=np.int32), np.arange(500) * 2, np.full(500, 2)
    corruption = Masking(MASK, SPECIAL, N_PIECES, 0.5, False)
    _, targets = corruption(ids, starts, lengths, np.random.default_rng(0))
    first, second = (targets != NO_TARGET).reshape(-1, 2).T
    assert 0.4 < (first == second).mean() < 0.6


def test_targets_follow_the_generator() -> None:
    objective = build_objective()
    ids = np.arange(5, 25, dtype=np.int32)
    pieces, words = lay_pieces(ids, [1] * 20), ["word"] * 20
    first, again, other = (
        objective.make_targets(pieces, words, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.boundaries == (NO_TARGET, NO_TARGET)
    assert (first.ids == again.ids).all() and (first.targets == again.targets).all()
    assert (first.targets != other.targets).any()
    assert (first.targets != NO_TARGET).any()


def draw_batch(encoder: TransformerEncoder) -> tuple[Tensor, Tensor, Tensor]:
    """ids, targets and mask, (B, T) each; targets are 0 at padding, as windows make them."""
    ids, mask = pad([draw_ids(encoder, n, seed=n) for n in (9, 4, 6)])
    targets = torch.where(ids % 3 == 0, ids % N_PIECES, NO_TARGET)
    return ids, torch.where(mask, targets, 0), mask


@torch.no_grad()
def test_loss_equals_a_loop_over_targets() -> None:
    encoder = build_transformer()
    objective = build_objective(encoder)
    ids, targets, mask = draw_batch(encoder)
    layers = encoder(ids, mask)
    expected, top = [], unpack(layers[-1], mask)
    for b, t in (mask & (targets != NO_TARGET)).nonzero().tolist():
        h = F.gelu(objective.dense.weight @ top[b, t] + objective.dense.bias)
        h = (h - h.mean()) / h.std(correction=0) * objective.norm.weight + objective.norm.bias
        rows = encoder.piece_embedding.weight[:N_PIECES]
        logits = [float(h @ row + bias) for row, bias in zip(rows, objective.bias, strict=True)]
        expected.append(np.log(np.exp(logits).sum()) - logits[int(targets[b, t])])
    losses = objective(layers, targets, mask)
    assert 5 < len(expected) == losses.n_targets["masked"]
    assert losses.nll["masked"].item() == pytest.approx(sum(expected), rel=1e-4)


def test_a_batch_without_targets_has_no_loss() -> None:
    encoder = build_transformer()
    objective = build_objective(encoder)
    ids, targets, mask = draw_batch(encoder)
    targets[mask] = NO_TARGET
    losses = objective(encoder(ids, mask), targets, mask)
    assert losses.n_targets == {"masked": 0} and losses.nll["masked"].item() == 0.0
    losses.nll["masked"].backward()
    for parameter in [*encoder.parameters(), *objective.parameters()]:
        assert parameter.grad is None or not parameter.grad.any()


def test_gradient_equals_finite_differences() -> None:
    encoder = build_transformer().double()
    objective = build_objective(encoder).double()
    ids, targets, mask = draw_batch(encoder)
    check_gradient(
        lambda: objective(encoder(ids, mask), targets, mask).nll["masked"],
        [*encoder.named_parameters(), *objective.named_parameters()],
    )


def test_scores_share_the_piece_embeddings() -> None:
    encoder = build_transformer()
    objective = build_objective(encoder)
    names = {name for name, _ in objective.named_parameters()}
    assert names == {"dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias"}
    _, targets, mask = draw_batch(encoder)
    layers = (torch.randn(int(mask.sum()), 8, generator=torch.Generator().manual_seed(0)),)
    objective(layers, targets, mask).nll["masked"].backward()
    gradient = encoder.piece_embedding.weight.grad
    assert gradient[1:N_PIECES].any() and not gradient[N_PIECES:].any()


def test_thirty_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    encoder = build_transformer(dropout=0.0).train()
    objective = build_objective(encoder, share=0.3)
    encoder.reset_parameters()
    objective.reset_parameters()
    original, mask = pad([draw_ids(encoder, n, seed=n) % 20 + 5 for n in (9, 4, 6)])
    flat = original[mask].int().numpy()
    pieces = lay_pieces(flat, [1] * len(flat))
    made = objective.make_targets(pieces, [], np.random.default_rng(0))
    ids, targets = original.clone(), torch.zeros_like(original)
    ids[mask], targets[mask] = (torch.from_numpy(x).long() for x in (made.ids, made.targets))
    optimizer = torch.optim.Adam([*encoder.parameters(), *objective.parameters()], lr=0.02)
    means = []
    for _ in range(30):
        losses = objective(encoder(ids, mask), targets, mask)
        means.append(losses.nll["masked"].item() / losses.n_targets["masked"])
        optimizer.zero_grad()
        losses.nll["masked"].backward()
        optimizer.step()
    assert means[0] == pytest.approx(np.log(N_PIECES), rel=0.1)
    assert means[-1] < 0.3 * means[0]


def test_reset_fills_every_parameter() -> None:
    objective = build_objective()
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.fill_(torch.nan)
    objective.reset_parameters()
    assert all(parameter.isfinite().all() for parameter in objective.parameters())


def test_json_round_trip() -> None:
    encoder = build_transformer()
    objective = build_objective(encoder, share=0.25, whole_words=True)
    assert OBJECTIVES[objective.kind] is MaskedLMObjective
    again = MaskedLMObjective.from_json(objective.to_json(), encoder)
    again.load_state_dict(objective.state_dict())
    assert again.masking == objective.masking
    ids, targets, mask = draw_batch(encoder)
    layers = encoder(ids, mask)
    assert again(layers, targets, mask).nll == objective(layers, targets, mask).nll


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 15.0])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=rf"\[E431\] The share of pieces to predict is {share}\."):
        build_objective(share=share)


def test_another_encoder_is_refused() -> None:
    message = r"\[E430\] MaskedLMObjective needs the encoder Transformer, the config has BiLM"
    with pytest.raises(ValueError, match=message):
        build_objective(build_bilm())


def test_a_vocabulary_of_special_pieces_alone_is_refused() -> None:
    message = r"\[E131\] The vocabulary has no pieces besides 5 special ones"
    with pytest.raises(ValueError, match=message):
        Masking(MASK, list(range(5)), 5, share=0.3)


@given(drawn=ids_P_stretches_W(N_PIECES), seed=st.integers(0, 1000))
def test_spans_are_of_whole_words(drawn: Drawn, seed: int) -> None:
    ids, starts, lengths = drawn
    corruption = Masking(MASK, SPECIAL, N_PIECES, 0.5, False, spans=True)
    corrupted, targets = corruption(ids, starts, lengths, np.random.default_rng(seed))
    chosen = targets != NO_TARGET
    assert (targets[chosen] == ids[chosen]).all() and not np.isin(ids[chosen], SPECIAL).any()
    assert (corrupted[~chosen] == ids[~chosen]).all()
    for start, n in zip(starts, lengths, strict=True):
        eligible = ~np.isin(ids[start : start + n], SPECIAL)
        assert len(set(chosen[start : start + n][eligible].tolist())) <= 1


def test_each_span_is_hidden_replaced_or_left_as_a_whole() -> None:
    n = 200_000
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 1005, size=n).astype(np.int32)
    corruption = Masking(MASK, list(range(5)), 1005, 0.15, False, spans=True)
    corrupted, targets = corruption(ids, np.arange(n), np.ones(n, dtype=np.int64), rng)
    chosen = targets != NO_TARGET
    assert chosen.mean() == pytest.approx(0.15, rel=0.03)
    hidden, kept = corrupted == MASK, corrupted == ids
    found = np.array([hidden[chosen].mean(), kept[chosen].mean()])
    np.testing.assert_allclose(found, [0.8, 0.1], atol=0.02)
    # Chosen neighbours are of one span most often, so they share its fate; by chance 0.66 would.
    fate = np.where(hidden, 0, np.where(kept, 1, 2))
    both = chosen[1:] & chosen[:-1]
    assert (fate[1:] == fate[:-1])[both].mean() > 0.9


def test_json_round_trip_with_a_head_for_pairs() -> None:
    encoder = build_transformer()
    masking = Masking(MASK, SPECIAL, N_PIECES, 0.2, spans=True)
    objective = randomise(MaskedLMObjective(encoder, masking, next_sentence=True))
    again = MaskedLMObjective.from_json(objective.to_json(), encoder)
    again.load_state_dict(objective.state_dict())
    assert again.masking.spans
    assert again.next_sentence is not None and objective.next_sentence is not None
    ids, _, mask = draw_batch(encoder)
    top = encoder(ids, mask)[-1]
    assert again.next_sentence(top, mask).equal(objective.next_sentence(top, mask))
    assert build_objective().next_sentence is None


def test_what_was_stored_before_these_settings_loads() -> None:
    encoder = build_transformer()
    objective = build_objective(encoder)
    settings = {k: v for k, v in objective.to_json().items() if k not in ("spans", "next_sentence")}
    again = MaskedLMObjective.from_json(settings, encoder)
    assert again.masking == objective.masking
    again.load_state_dict(objective.state_dict())


@torch.no_grad()
def test_scores_of_pairs_equal_a_loop_over_windows() -> None:
    encoder, head = build_transformer(), randomise(NextSentenceHead(8))
    ids, mask = pad([draw_ids(encoder, n, seed=n) for n in (9, 4, 6)])
    top = encoder(ids, mask)[-1]
    scores = head(top, mask)
    assert scores.shape == (3, 2)
    for found, window in zip(scores, unpack(top, mask), strict=True):
        h = torch.tanh(head.dense.weight @ window[0] + head.dense.bias)
        torch.testing.assert_close(found, head.output.weight @ h + head.output.bias)


def test_gradient_of_pairs_equals_finite_differences() -> None:
    encoder, head = build_transformer().double(), randomise(NextSentenceHead(8)).double()
    ids, mask = pad([draw_ids(encoder, n, seed=n) for n in (5, 3)])
    segments, targets = torch.where(mask, ids % 2, 0), torch.tensor([0, 1])
    check_gradient(
        lambda: F.cross_entropy(head(encoder(ids, mask, segments)[-1], mask), targets),
        [*encoder.named_parameters(), *head.named_parameters()],
    )


def test_reset_fills_the_head_for_pairs() -> None:
    head = NextSentenceHead(8)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.fill_(torch.nan)
    head.reset_parameters()
    assert all(parameter.isfinite().all() for parameter in head.parameters())
