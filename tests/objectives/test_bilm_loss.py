"""The biLM objective against plain loops, sums over the vocabulary and simulation."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from spacy_ctxemb.objectives import OBJECTIVES, BiLMObjective
from spacy_ctxemb.objectives import bilm_loss as bilm_module
from spacy_ctxemb.objectives.bilm_loss import build_vocabulary, log_expected_count

from ..texts import lay_pieces
from ..tiny import build_bilm, build_transformer, check_gradient, draw_ids, pad, randomise, unpack

VOCABULARY = ["<S>", "</S>", "<UNK>", *(f"word{i}" for i in range(37))]


def build_objective(*, n_samples: int | None = None) -> BiLMObjective:
    """An objective over 40 words and halves of width 4, in evaluation mode."""
    return randomise(BiLMObjective(build_bilm(), VOCABULARY, n_samples=n_samples)).eval()


def draw_batch(lengths: Sequence[int] = (6, 3, 4)) -> tuple[Tensor, Tensor, Tensor]:
    """Layers (1, N, 8), targets (B, T) and mask (B, T)."""
    generator = torch.Generator().manual_seed(0)
    targets, mask = pad([torch.randint(3, 40, (n,), generator=generator) for n in lengths])
    layers = torch.randn(1, int(mask.sum()), 8, generator=generator)
    return layers, targets.int(), mask


def test_loss_equals_a_loop_over_positions() -> None:
    objective = build_objective()
    layers, targets, mask = draw_batch()
    W, b = (p.detach().double().numpy() for p in (objective.weight, objective.bias))

    def nll(h: Tensor, target: int) -> float:
        logits = W @ h.double().numpy() + b
        return float(np.log(np.exp(logits).sum()) - logits[target])

    expected = {"forward": 0.0, "backward": 0.0}
    by_window = unpack(layers[-1], mask)
    for h, words, n in zip(by_window, targets.tolist(), mask.sum(dim=1).tolist(), strict=True):
        for t in range(n - 1):
            expected["forward"] += nll(h[t, :4], words[t + 1])
        for t in range(1, n):
            expected["backward"] += nll(h[t, 4:], words[t - 1])
    losses = objective(tuple(layers), targets, mask)
    assert losses.n_targets == {"forward": 10, "backward": 10}
    assert {k: v.item() for k, v in losses.nll.items()} == pytest.approx(expected, rel=1e-5)


def test_a_loss_does_not_depend_on_padding_or_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = build_objective()
    layers, targets, mask = draw_batch()
    expected = objective(tuple(layers), targets, mask).nll
    monkeypatch.setattr(bilm_module, "CHUNK", 3)
    targets[~mask] = 17
    found = objective(tuple(layers), targets, mask).nll
    for name in ("forward", "backward"):
        torch.testing.assert_close(found[name], expected[name])


def test_a_perfect_model_of_the_next_word_has_no_forward_loss() -> None:
    """Vectors that point at the next word in one half and at the previous one in the other."""
    objective = BiLMObjective(build_bilm(width=80, hidden_width=50), VOCABULARY, n_samples=None)
    with torch.no_grad():
        objective.weight.copy_(50 * torch.eye(40))
        objective.bias.zero_()
    words = torch.tensor([[0, 5, 7, 9, 1]])
    one_hot = torch.eye(40)[words[0]]
    right = torch.cat([one_hot.roll(-1, dims=0), one_hot.roll(1, dims=0)], dim=-1)
    mask = torch.ones(1, 5, dtype=torch.bool)
    for layer, wrong in ((right, False), (right.roll(40, dims=-1), True)):
        for nll in objective((layer,), words, mask).nll.values():
            assert (nll.item() > 10) == wrong


def test_targets_are_the_words_and_unknown_ones() -> None:
    objective = build_objective()
    ids = draw_ids(build_bilm(), 4).int().numpy()
    words = ["word0", " ", "unseen", "word36", "<S>"]
    pieces = lay_pieces(ids, [1, 0, 1, 1, 1])
    made = objective.make_targets(pieces, words, np.random.default_rng(0))
    assert made.targets.tolist() == [3, 2, 39, 0]
    assert made.targets.dtype == np.int32
    assert made.boundaries == (0, 1)
    assert made.ids is ids


def test_gradient_equals_finite_differences() -> None:
    encoder = build_bilm().double()
    objective = randomise(BiLMObjective(encoder, VOCABULARY, n_samples=None)).double().eval()
    ids, mask = pad([draw_ids(encoder, n, seed=n) for n in (6, 3, 4)])
    _, targets, _ = draw_batch()

    def compute_loss() -> Tensor:
        nll = objective(encoder(ids, mask), targets, mask).nll
        return nll["forward"] + 2 * nll["backward"]

    check_gradient(compute_loss, [*encoder.named_parameters(), *objective.named_parameters()])


def test_sampled_gradient_equals_finite_differences() -> None:
    objective = build_objective(n_samples=15).double().train()
    generator = torch.Generator().manual_seed(0)
    h = torch.nn.Parameter(torch.randn(6, 4, generator=generator, dtype=torch.float64))
    targets = torch.tensor([3, 0, 39, 10, 3, 20])

    def compute_loss() -> Tensor:
        torch.manual_seed(7)
        forward, backward = objective.nll([h, 2 * h[1:]], [targets, targets[1:].flip(0)])
        return forward + 2 * backward

    check_gradient(compute_loss, [("h", h), *objective.named_parameters()])


@pytest.mark.parametrize("n_samples", [None, 15])
def test_a_direction_without_targets(n_samples: int | None) -> None:
    objective = build_objective(n_samples=n_samples).train()
    h, targets = torch.randn(6, 4, requires_grad=True), torch.tensor([3, 0, 39, 10, 3, 20])
    forward, backward = objective.nll([h, h[:0]], [targets, targets[:0]])
    (forward + backward).backward()
    assert backward == 0 and forward > 0
    assert h.grad is not None and h.grad.any(dim=1).all()


@pytest.mark.parametrize("training", [False, True])
def test_only_training_samples(training: bool) -> None:
    objective = build_objective(n_samples=5).train(training)
    objective.encoder_dropout[0].p = 0.0
    layers, targets, mask = draw_batch()
    torch.manual_seed(0)
    values = {objective(tuple(layers), targets, mask).nll["forward"].item() for _ in range(3)}
    assert (len(values) > 1) == training
    exact = build_objective()(tuple(layers), targets, mask).nll["forward"].item()
    assert (exact in values) != training


def test_more_samples_come_nearer_to_the_full_softmax() -> None:
    """Loss and gradient, each the mean deviation over 20 samples."""
    objective = build_objective().train()
    objective.encoder_dropout[0].p = 0.0
    layers, targets, mask = draw_batch()
    parameters = list(objective.parameters())

    def compute(n_samples: int | None) -> tuple[Tensor, Tensor]:
        objective.n_samples = n_samples
        loss = sum(objective(tuple(layers), targets, mask).nll.values())
        gradients = torch.autograd.grad(loss, parameters)
        return loss.detach(), torch.cat([gradient.flatten() for gradient in gradients])

    torch.manual_seed(0)
    loss, gradient = compute(None)
    deviations = []
    for n_samples in (5, 50, 10_000):
        results = [compute(n_samples) for _ in range(20)]
        losses = torch.stack([abs(found - loss) / loss for found, _ in results])
        norms = torch.stack([(found - gradient).norm() / gradient.norm() for _, found in results])
        deviations.append((losses.mean().item(), norms.mean().item()))
    for more, fewer in zip(deviations[1:], deviations[:-1], strict=True):
        assert more[0] < fewer[0] / 2 and more[1] < fewer[1] / 2
    assert deviations[-1] == pytest.approx((0.0, 0.0), abs=1e-5)


@pytest.mark.parametrize("target", [0, 4, 39])
def test_sampled_words_stand_for_the_whole_vocabulary(target: int) -> None:
    """exp(nll) - 1 is the sum over other words by the weight of the target, so its mean over
    many samples must be the sum over all other words, with the target's own correction."""
    objective = build_objective().double()
    h = torch.linspace(-1, 1, 4, dtype=torch.float64)[None]
    n_samples, ids = 8, torch.tensor([target])
    torch.manual_seed(0)
    with torch.no_grad():
        scores = torch.exp(h @ objective.weight.T + objective.bias)[0]
        draws = torch.stack([objective.sampled_nll([h], [ids], n_samples)[0] for _ in range(4000)])
        sums = torch.expm1(draws) * scores[target] / torch.exp(log_expected_count(ids, 40, 8))
    others = scores.sum() - scores[target]
    standard_error = sums.std() / math.sqrt(len(sums))
    assert abs(sums.mean() - others) < 4 * standard_error
    assert standard_error < 0.05 * others


@pytest.mark.parametrize("n_samples", [1, 10, 100])
def test_expected_count_equals_a_simulation(n_samples: int) -> None:
    V, n_trials = 12, 4000
    rng = np.random.default_rng(0)
    ranks = np.arange(V)
    p = np.log((ranks + 2) / (ranks + 1)) / np.log(V + 1)
    assert p.sum() == pytest.approx(1.0)
    draws = rng.choice(V, size=(n_trials, n_samples), p=p)
    share = np.array([(draws == k).any(axis=1).mean() for k in ranks])
    found = log_expected_count(torch.from_numpy(ranks), V, n_samples).exp().numpy()
    error = 4 * np.sqrt(found * (1 - found) / n_trials) + 1e-6
    assert (np.abs(found - share) < error).all()


def test_expected_count_of_rare_words_in_large_vocabularies() -> None:
    """800,000 words, of which the last is drawn with a chance of about 1e-7: by Taylor."""
    V, n = 800_000, 8192
    found = log_expected_count(torch.tensor([V - 1]), V, n).item()
    assert found == pytest.approx(math.log(n / (V * math.log(V + 1))), rel=1e-3)


def test_dropout_of_the_encoder_acts_on_the_top_layer() -> None:
    encoder = build_bilm(dropout=0.3)
    objective = randomise(BiLMObjective(encoder, VOCABULARY, n_samples=None))
    layers, targets, mask = draw_batch()

    def count_losses() -> int:
        values = [objective(tuple(layers), targets, mask).nll["forward"] for _ in range(3)]
        return len({value.item() for value in values})

    torch.manual_seed(0)
    assert count_losses() == 1
    encoder.train()
    assert count_losses() == 3
    encoder.set_dropout(0.0)
    assert count_losses() == 1


def test_training_lowers_both_losses() -> None:
    torch.manual_seed(0)
    encoder = build_bilm(dropout=0.0)
    encoder.reset_parameters()
    objective = BiLMObjective(encoder, VOCABULARY, n_samples=20)
    objective.reset_parameters()
    ids, mask = pad([draw_ids(encoder, n, seed=n) for n in (6, 3, 4)])
    _, targets, _ = draw_batch()
    parameters = [*encoder.parameters(), *objective.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.03)

    def evaluate() -> dict[str, float]:
        losses = objective.eval()(encoder(ids, mask), targets, mask)
        return {name: nll.item() / losses.n_targets[name] for name, nll in losses.nll.items()}

    before = evaluate()
    assert before["forward"] == pytest.approx(math.log(40), rel=0.3)
    for _ in range(30):
        optimizer.zero_grad()
        sum(objective.train()(encoder(ids, mask), targets, mask).nll.values()).backward()
        optimizer.step()
    after = evaluate()
    assert all(after[name] < 0.7 * before[name] for name in before)


def test_initial_values() -> None:
    torch.manual_seed(0)
    objective = BiLMObjective(build_bilm(width=128, hidden_width=64), VOCABULARY, n_samples=None)
    objective.reset_parameters()
    assert objective.weight.std().item() == pytest.approx(1 / 8, rel=0.05)
    assert not objective.bias.any()


def test_json_round_trip() -> None:
    objective = build_objective(n_samples=9)
    assert OBJECTIVES[objective.kind] is BiLMObjective
    again = BiLMObjective.from_json(objective.to_json(), build_bilm()).eval()
    again.load_state_dict(copy.deepcopy(objective.state_dict()))
    layers, targets, mask = draw_batch()
    assert again.n_samples == 9
    found, expected = (o(tuple(layers), targets, mask).nll for o in (again, objective))
    assert found == expected


def test_another_encoder_is_refused() -> None:
    message = r"\[E430\] BiLMObjective needs the encoder BiLM, the config has TransformerEncoder"
    with pytest.raises(ValueError, match=message):
        BiLMObjective(build_transformer(), VOCABULARY, n_samples=None)


def test_vocabulary_is_ordered_by_frequency() -> None:
    documents = [["b", "a", "c", " ", "a"], [], ["\n", "c", "<UNK>", "d", "a", "<S>", "<S>"]]
    expected = ["<S>", "</S>", "<UNK>", "a", "c", "b", "d"]
    assert build_vocabulary(documents, size=100) == expected
    assert build_vocabulary(documents, size=5) == expected[:5]
    assert build_vocabulary([], size=5) == expected[:3]
