"""Where answers lie in windows of pieces, and the gradients of their scores."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from thinc.api import Model
from torch import Tensor
from torch.nn import functional as F

from ..thinc_model.arrays_and_tensors import backpropagate, run
from ..thinc_model.embedder_shim import EmbedderShim
from ..torch_state import in_ordinary_torch
from .encode_windows import count_windows_a_batch, encode_windows
from .head_shim import get_head
from .question_pairs import Pair
from .squad import Gold


class Target(NamedTuple):
    """A window, (2, T), and the first and the last piece of the answer in it; 0 where the window
    has none: the first piece of a window stands for no answer."""

    window: Tensor
    place: tuple[int, int]


@in_ordinary_torch
def learn(
    model: Model[Tensor, Tensor],
    shim: EmbedderShim,
    targets: Sequence[Target],
    reader: str,
    *,
    is_encoder_trained: bool,
) -> tuple[float, float]:
    """Collect the gradients of a head and of an encoder. Returns the mean loss, and the sum of
    squares of what the encoder got.

    model: of the head. reader: the component that has it.
    """
    total = squares = 0.0
    n_targets, n = len(targets), count_windows_a_batch(shim, [one.window for one in targets])
    for batch in (targets[start : start + n] for start in range(0, n_targets, n)):
        with shim.training_mode() if is_encoder_trained else torch.no_grad():
            states = encode_windows(shim, [target.window for target in batch], reader)
        scores, backprop = model(states, is_train=True)
        loss, gradient = compute_loss(scores, batch)
        (d_states,) = backprop(gradient / n_targets)
        total += loss / n_targets
        if is_encoder_trained:
            squares += d_states.square().sum().item()
            backpropagate((states, d_states), scale=shim.scale)
    return total, squares


def score_states(
    model: Model[Tensor, Tensor], states: Tensor, is_train: bool
) -> tuple[Tensor, Callable[[Tensor], list[Tensor | None]]]:
    """(N, D) to (N, 2)."""
    rate = model.attrs["dropout_rate"]
    return run(
        lambda inputs: get_head(model).score(inputs[0], rate, is_train=is_train),
        [states],
        is_train=is_train,
    )


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
