"""The head for pairs reads the first step of each window."""

import torch
from torch.nn import functional as F

from spacy_ctxemb.objectives.next_sentence_loss import NextSentenceHead

from ..tiny import build_transformer, check_gradient, draw_ids, pad, randomise, unpack


@torch.no_grad()
def test_scores_equal_a_loop_over_windows() -> None:
    encoder, head = build_transformer(), randomise(NextSentenceHead(8))
    ids, mask = pad([draw_ids(encoder, n, seed=n) for n in (9, 4, 6)])
    top = encoder(ids, mask)[-1]
    scores = head(top, mask)
    assert scores.shape == (3, 2)
    for found, window in zip(scores, unpack(top, mask), strict=True):
        h = torch.tanh(head.dense.weight @ window[0] + head.dense.bias)
        torch.testing.assert_close(found, head.output.weight @ h + head.output.bias)


def test_gradient_equals_finite_differences() -> None:
    encoder, head = build_transformer().double(), randomise(NextSentenceHead(8)).double()
    ids, mask = pad([draw_ids(encoder, n, seed=n) for n in (5, 3)])
    segments, targets = torch.where(mask, ids % 2, 0), torch.tensor([0, 1])
    check_gradient(
        lambda: F.cross_entropy(head(encoder(ids, mask, segments)[-1], mask), targets),
        [*encoder.named_parameters(), *head.named_parameters()],
    )


def test_reset_fills_every_parameter() -> None:
    head = NextSentenceHead(8)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.fill_(torch.nan)
    head.reset_parameters()
    assert all(parameter.isfinite().all() for parameter in head.parameters())
