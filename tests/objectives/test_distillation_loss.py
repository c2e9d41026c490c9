"""The errors of a pupil, against NumPy written out."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spacy_ctxemb.objectives import OBJECTIVES, DistilObjective, MaskedLMObjective
from spacy_ctxemb.objectives.distillation_loss import Answer
from spacy_ctxemb.objectives.masking import Masking

from ..tiny import build_transformer, randomise

#: Words of three texts, and widths of the pupil's words, the teacher's and its texts.
SIZES, WIDTH, WORD_WIDTHS, TEXT_WIDTH = [3, 1, 4], 5, [6, 7], 4

LOSSES = ["tokens", "texts", "relations", "uses"]

#: Two words occur again, one of them often.
NUMBERS = torch.tensor([0, 1, 2, 0, 3, 1, 0, 4])


def build(losses: list[str] = LOSSES, masked: MaskedLMObjective | None = None) -> DistilObjective:
    objective = DistilObjective(
        losses=losses,
        width=WIDTH,
        word_widths=WORD_WIDTHS,
        text_width=TEXT_WIDTH,
        teacher="a",
        masked=masked,
    )
    return randomise(objective)


def draw() -> tuple[Tensor, Answer, Tensor]:
    """The pupil's words, the teacher's answer, and the sizes of texts."""
    torch.manual_seed(0)
    n = sum(SIZES)
    answer = Answer([torch.randn(n, width) for width in WORD_WIDTHS], torch.randn(3, TEXT_WIDTH))
    return torch.randn(n, WIDTH), answer, torch.tensor(SIZES)


def find_cosines(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def split(rows: Tensor) -> list[NDArray[np.float32]]:
    return np.split(rows.numpy(), np.cumsum(SIZES)[:-1])


def test_losses_are_as_written_out() -> None:
    objective = build()
    words, answer, n_words = draw()
    with torch.no_grad():
        losses = objective.compare(words, answer, n_words, NUMBERS)
    assert losses.n_targets == {"tokens": 8, "texts": 3, "relations": 3, "uses": 3}
    means = {name: float(nll) / losses.n_targets[name] for name, nll in losses.nll.items()}

    projections = {n: p.detach().numpy() for n, p in objective.named_parameters()}
    made = words.numpy() @ projections["tokens.weight"].T + projections["tokens.bias"]
    errors = [
        ((made[:, columns] - target.numpy()) ** 2).mean()
        for columns, target in zip((slice(0, 6), slice(6, 13)), answer.words, strict=True)
    ]
    assert means["tokens"] == pytest.approx(np.mean(errors), rel=1e-5)

    texts = np.stack([part.mean(axis=0) for part in split(words)])
    theirs = answer.texts.numpy()
    made = texts @ projections["texts.weight"].T + projections["texts.bias"]
    norms = np.linalg.norm(made, axis=1) * np.linalg.norm(theirs, axis=1)
    assert means["texts"] == pytest.approx((1 - (made * theirs).sum(1) / norms).mean(), rel=1e-5)

    within = [
        ((find_cosines(a) - find_cosines(b)) ** 2).mean()
        for a, b in zip(split(words), split(answer.words[-1]), strict=True)
    ]
    among = ((find_cosines(texts) - find_cosines(theirs)) ** 2).mean()
    assert means["relations"] == pytest.approx(np.mean(within) + among, rel=1e-4)

    errors = (find_cosines(words.numpy()) - find_cosines(answer.words[-1].numpy())) ** 2
    often, twice = (errors[0, 3] + errors[3, 6]) / 2, errors[1, 5]
    assert means["uses"] == pytest.approx((often + twice) / 2, rel=1e-4)


def test_words_that_occur_once_have_no_uses_to_compare() -> None:
    words, answer, n_words = draw()
    words.requires_grad_()
    losses = build(["uses"]).compare(words, answer, n_words, torch.arange(8))
    losses.nll["uses"].backward()
    assert losses.nll["uses"].item() == 0
    assert not words.grad.any()


def test_a_pupil_like_its_teacher_has_no_error() -> None:
    words, _, n_words = draw()
    texts = torch.stack([part.mean(dim=0) for part in words.split(SIZES)])
    objective = build(["relations", "uses"])
    losses = objective.compare(words, Answer([words], texts), n_words, NUMBERS)
    assert float(losses.nll["relations"]) == pytest.approx(0, abs=1e-6)
    assert float(losses.nll["uses"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_alone_has_what_it_needs_and_no_more(name: str) -> None:
    objective = build([name])
    found = {parameter.split(".")[0] for parameter, _ in objective.named_parameters()}
    assert found == {name} - {"relations", "uses"}
    words, answer, n_words = draw()
    needed = {
        "tokens": answer._replace(texts=None),
        "texts": answer._replace(words=None),
        "relations": answer,
        "uses": answer._replace(texts=None),
    }
    losses = objective.compare(words, needed[name], n_words, NUMBERS)
    assert losses.nll.keys() == losses.n_targets.keys() == {name}
    whole = build().compare(words, answer, n_words, NUMBERS)
    if name in ("relations", "uses"):  # have no parameters, which are drawn in turn
        torch.testing.assert_close(losses.nll[name], whole.nll[name])


@torch.no_grad()
def test_cosines_are_means_over_layers() -> None:
    objective = build()
    words, answer, _ = draw()
    cosines = [
        torch.cosine_similarity(*pair).sum().item() for pair in objective.pair_words(words, answer)
    ]
    found = objective.sum_cosines(words, answer)
    assert len(cosines) == 2 and float(found) == pytest.approx(np.mean(cosines))


@pytest.mark.parametrize("is_masked", [False, True])
def test_it_is_stored(is_masked: bool) -> None:
    encoder = build_transformer()
    masked = MaskedLMObjective(encoder, Masking(4, [0, 1, 2, 3, 4], 30, share=0.2))
    objective = build(masked=masked if is_masked else None)
    again = OBJECTIVES["distil"].from_json(objective.to_json(), encoder)
    again.load_state_dict(objective.state_dict())
    assert again.to_json() == objective.to_json()
    if is_masked:
        ids = torch.randint(5, 30, (2, 6))
        mask = torch.ones(2, 6, dtype=torch.bool)
        layers = encoder(ids, mask)
        found = again(layers, ids, mask).nll["masked"]
        torch.testing.assert_close(found, masked(layers, ids, mask).nll["masked"])


def test_without_language_modelling_nothing_is_predicted() -> None:
    with pytest.raises(ValueError, match="E439.*masked above 0"):
        build()((torch.zeros(1, WIDTH),), torch.zeros(1, 1), torch.ones(1, 1))
