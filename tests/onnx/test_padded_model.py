"""The model of padded windows computes what the encoders compute."""

from typing import Any

import pytest
import torch

from spacy_ctxemb.encoders import ModernTransformerEncoder
from spacy_ctxemb.heads.head_layers import Head
from spacy_ctxemb.onnx.padded_model import PaddedModel

from ..tiny import build_transformer, randomise

IDS = torch.tensor([[5, 9, 3, 7, 2, 8], [5, 9, 0, 0, 0, 0], [1, 2, 3, 4, 0, 0]])
MASK = torch.tensor([[1] * 6, [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]])


def build_modern() -> ModernTransformerEncoder:
    encoder = ModernTransformerEncoder(
        vocab_size=30,
        width=8,
        n_blocks=4,
        n_heads=2,
        feedforward_width=12,
        max_length=16,
        local_window=2,
    )
    return randomise(encoder).eval()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_segments": 0},
        {"pre_norm": True, "activation": "relu"},
        {"n_position_buckets": 8},
        {"embedding_width": 4, "n_groups": 1, "activation": "gelu_tanh"},
        None,
    ],
    ids=str,
)
def test_states(settings: dict[str, Any] | None) -> None:
    encoder = build_modern() if settings is None else build_transformer(**settings)
    model = PaddedModel(encoder, None)
    with torch.inference_mode():
        expected = encoder(IDS, MASK > 0)[-1]
        found = model(IDS, MASK)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[MASK > 0], expected, rtol=1e-5, atol=1e-5)


def test_segments() -> None:
    encoder = build_transformer(n_segments=2)
    segments = torch.arange(6).expand(3, 6) % 2
    with torch.inference_mode():
        expected = encoder(IDS, MASK > 0, segments)[-1]
        found = PaddedModel(encoder, None)(IDS, MASK, segments)
    torch.testing.assert_close(found[MASK > 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reads", ["pieces", "first", "mean", "piece_mean"])
def test_scores(reads: str) -> None:
    encoder, head = build_transformer(), randomise(Head(8, 3, activation="tanh")).eval()
    with torch.inference_mode():
        windows = encoder(IDS, MASK > 0)[-1].split(MASK.sum(dim=1).tolist())
        found = PaddedModel(encoder, head, reads)(IDS, MASK)
        for scores, states in zip(found, windows, strict=True):
            means = {
                "mean": states.mean(dim=0),
                "piece_mean": states[1:-1].mean(dim=0).nan_to_num(),
            }
            chosen = {"pieces": states, "first": states[0], **means}[reads]
            scores = scores[: len(states)] if reads == "pieces" else scores
            torch.testing.assert_close(scores, head(chosen), rtol=1e-5, atol=1e-5)


def test_the_encoder_stays_as_it_is() -> None:
    encoder = build_transformer()
    before = repr(encoder)
    PaddedModel(encoder, None)
    assert repr(encoder) == before
