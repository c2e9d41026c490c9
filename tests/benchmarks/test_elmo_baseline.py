"""The benchmark compares like with like: its baseline computes what the biLM computes."""

import torch

from ..tiny import build_bilm, draw_ids, pad, unpack
from .elmo_baseline import run_baseline


def test_the_baseline_gives_the_layers_of_the_bilm() -> None:
    encoder = build_bilm()
    sentences = [draw_ids(encoder, T, seed=T) for T in (5, 2, 7, 3)]
    with torch.inference_mode():
        ids, mask = pad(sentences)
        layers = torch.stack([unpack(layer, mask) for layer in encoder(ids, mask)])
    for b, found in enumerate(run_baseline(encoder, sentences)):
        torch.testing.assert_close(found, layers[:, b, : found.size(1)], rtol=1e-5, atol=1e-6)
