"""Estimates of memory, against each other, and against what processes take."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb.doctor.memory_estimate import Load, estimate_prediction, estimate_update
from spacy_ctxemb.thinc_model.model import get_shim

from ..pipelines import blank

WORKER = Path(__file__).with_name("memory_worker.py")
LOAD = Load(pieces=400, tokens=300, words=100, length=30, word_length=8.0)


def shim_of(model: dict[str, Any], **settings: Any) -> Any:
    return get_shim(blank({**model, **settings}).get_pipe("ctxemb").model)  # type: ignore[attr-defined]


def test_parameters(model: dict[str, Any]) -> None:
    """Weights, gradients and two moments, and an average on request."""
    shim = shim_of(model)
    n = sum(p.numel() for p in shim.embedder.parameters())
    assert estimate_update(shim, LOAD).parameters == 4 * 5 * n
    assert estimate_update(shim, LOAD, averages=False).parameters == 4 * 4 * n
    n_layers = shim.embedder.encoder.n_layers
    mix = sum(p.numel() for p in shim.embedder.mix.parameters())
    frozen = estimate_update(shim_of(model, freeze_layers=n_layers), LOAD)
    assert frozen.parameters == 4 * (n + 4 * mix)


def test_what_takes_less(model: dict[str, Any]) -> None:
    shim = shim_of(model)
    full = estimate_update(shim, LOAD)
    halves = estimate_update(shim, LOAD, micro_batches=2)
    assert halves.passes == pytest.approx(full.passes / 2)
    n_layers = shim.embedder.encoder.n_layers
    frozen = estimate_update(shim_of(model, freeze_layers=n_layers), LOAD)
    assert frozen.passes < full.passes / 2
    long = LOAD._replace(pieces=100_000, tokens=80_000)
    small, large = (shim_of(model, batch_pieces=n) for n in (600, 6000))
    assert estimate_update(small, long).passes < estimate_update(large, long).passes / 5


def test_layers_and_documents_cost_more_in_prediction(model: dict[str, Any]) -> None:
    shim = shim_of(model)

    def estimate(n_tokens: int, with_layers: bool) -> float:
        load = LOAD._replace(pieces=10_000, tokens=8000)
        return estimate_prediction(shim, load, n_tokens=n_tokens, with_layers=with_layers).megabytes

    assert estimate(8000, True) > estimate(8000, False) > estimate(800, False)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["update", "predict"])
@pytest.mark.parametrize("kind", ["bilm", "transformer"])
def test_estimates_are_within_a_factor_of_two(kind: str, what: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(WORKER), kind, what],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(result.stdout.splitlines()[-1])
    assert 0.5 < found["estimated"] / found["measured"] < 2.0, found
