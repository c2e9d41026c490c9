"""Training an encoder and a head on questions with answers."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..schedules import warmup_linear
from ..thinc_model.embedder_shim import EmbedderShim
from ..torch_state import in_ordinary_torch
from .head_layers import Head
from .question_answering import QuestionAnswering
from .question_pairs import Pair
from .squad import Question

#: Gradients of all parameters together are cut to this length.
MAX_NORM = 1.0

WEIGHT_DECAY = 0.01

#: Where the answer is: the window, and its first and last piece.
Target = tuple[Tensor, tuple[int, int]]


@in_ordinary_torch
def fine_tune(
    pipe: QuestionAnswering,
    questions: Sequence[Question],
    *,
    n_epochs: int = 3,
    batch_size: int = 16,
    learn_rate: float = 5e-5,
    seed: int = 0,
    log: Callable[[int, float], None] | None = None,
) -> None:
    """Train the encoder of a component and its head, which is drawn where there is none.

    Windows without the answer learn "no answer". The rate rises for a twentieth of the steps, and
    falls to 0.

    n_epochs: 2 to 4. batch_size: windows. learn_rate: 2e-5 to 1e-4. log: takes step and loss.

    Source: Devlin et al. 2019, "BERT", sections 4.2 and 4.3.

        fine_tune(nlp.get_pipe("ctxemb_qa"), read_squad(Path("train-v2.0.json")))
    """
    shim, rng = pipe.shim, np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = draw_head(pipe, shim)
        targets = [target for question in questions for target in find_targets(pipe, question)]
        parameters = [*shim.embedder.encoder.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(parameters, weight_decay=WEIGHT_DECAY)
        n_steps = n_epochs * -(-len(targets) // batch_size)
        rates = islice(warmup_linear(initial_rate=learn_rate, total_steps=n_steps), n_steps)
        batches = draw_batches(len(targets), n_epochs, batch_size, rng)
        for step, (rate, batch) in enumerate(zip(rates, batches, strict=True)):
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = take_step(pipe, shim, [targets[i] for i in batch], optimizer)
            if log is not None:
                log(step, loss.item())


def take_step(
    pipe: QuestionAnswering,
    shim: EmbedderShim,
    targets: Sequence[Target],
    optimizer: torch.optim.Optimizer,
) -> Tensor:
    """Learn from a batch; returns its loss. However it ends, what follows can predict."""
    head = cast(Head, pipe.head)
    try:
        with torch.enable_grad(), shim.training_mode():
            head.train()
            loss = compute_loss(pipe, shim, targets)
            loss.backward()
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], MAX_NORM)
        optimizer.step()
    finally:
        head.eval()
        optimizer.zero_grad()
        shim.weights_changed()
    return loss


def draw_head(pipe: QuestionAnswering, shim: EmbedderShim) -> Head:
    """The head of a component; a new one, on the encoder's device, where there is none."""
    if pipe.head is None:
        width = shim.embedder.encoder.width
        head = Head(width, 2)
        nn.init.normal_(head.output.weight, std=0.02)
        nn.init.zeros_(head.output.bias)
        pipe.take({"width": width, "n_classes": 2}, head.state_dict())
    return cast(Head, pipe.head).to(shim.device)


def find_targets(pipe: QuestionAnswering, question: Question) -> Iterator[Target]:
    """The windows of a question, and where its first answer is; 0 where a window has none."""
    pair, windows = pipe.encode(question.text, question.context)
    place = find_pieces(pair, question)
    for (first, last), window in zip(pair.windows, windows, strict=True):
        shift = pair.before.shape[1] - first
        is_inside = place is not None and first <= place[0] and place[1] < last
        yield window, (place[0] + shift, place[1] + shift) if place and is_inside else (0, 0)


def find_pieces(pair: Pair, question: Question) -> tuple[int, int] | None:
    """The first and the last piece of the text that the first answer lies in."""
    if not question.answers:
        return None
    text, start = question.answers[0]
    offsets = pair.offsets
    inside = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < start + len(text)))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None


def draw_batches(
    n: int, n_epochs: int, batch_size: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    for _ in range(n_epochs):
        order = rng.permutation(n).tolist()
        yield from (order[i : i + batch_size] for i in range(0, n, batch_size))


def compute_loss(pipe: QuestionAnswering, shim: EmbedderShim, targets: Sequence[Target]) -> Tensor:
    """The mean of the losses of starts and ends."""
    scores = pipe.score_batch(shim, [window for window, _ in targets])
    losses = [
        F.cross_entropy(x.T, torch.tensor(place, device=x.device))
        for x, (_, place) in zip(scores, targets, strict=True)
    ]
    return torch.stack(losses).mean()
