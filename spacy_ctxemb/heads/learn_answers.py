"""Where answers lie in windows of pieces, and the gradients of their scores."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .question_pairs import Pair
from .squad import Gold


class Target(NamedTuple):
    """A window, (2, T), and the first and the last piece of the answer in it; 0 where the window
    has none: the first piece of a window stands for no answer."""

    window: Tensor
    place: tuple[int, int]


def find_targets(
    pair: Pair, windows: Sequence[Tensor], answers: Sequence[Gold]
) -> Iterator[Target]:
    """Where each window of a question has the first of its answers."""
    place = find_pieces(pair, answers[0]) if answers else None
    for (first, last), window in zip(pair.windows, windows, strict=True):
        shift = pair.before.shape[1] - first
        is_inside = place is not None and first <= place[0] and place[1] < last
        inside = (place[0] + shift, place[1] + shift) if place and is_inside else (0, 0)
        yield Target(window, inside)


def find_pieces(pair: Pair, answer: Gold) -> tuple[int, int] | None:
    """The first and the last piece of the text that an answer lies in."""
    starts, ends = pair.offsets.T
    inside = np.flatnonzero((ends > answer.start) & (starts < answer.start + len(answer.text)))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None


def compute_loss(scores: Tensor, targets: Sequence[Target]) -> tuple[float, Tensor]:
    """The sum over windows of the mean losses of starts and ends, and the gradient of scores, those
    of one window after the other. (N, 2)

    Source: Devlin et al. 2019, "BERT", section 4.2.
    """
    with torch.enable_grad():
        scores = scores.detach().requires_grad_()
        of_windows = scores.split([target.window.size(1) for target in targets])
        loss = torch.stack(
            [
                F.cross_entropy(one.T, torch.tensor(target.place, device=one.device))
                for one, target in zip(of_windows, targets, strict=True)
            ]
        ).sum()
    (gradient,) = torch.autograd.grad(loss, scores)
    return loss.item(), gradient
