"""The benchmark of graphs, on a few vectors."""

from argparse import Namespace

import numpy as np
import pytest

from .index_speed import KINDS, K, keep_nearest, make_rows, measure

pytest.importorskip("usearch", reason="usearch is not installed")
pytest.importorskip("faiss", reason="faiss-cpu is not installed")


@pytest.mark.parametrize("kind", KINDS)
def test_few_vectors_are_all_found(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.index_speed.BLOCK", 100)
    settings = {"n": 250, "width": 16, "queries": 20, "clusters": 5, "threads": 1}
    memory = iter((1e9, 3e9))
    monkeypatch.setattr("tests.benchmarks.index_speed.read_memory", lambda: next(memory))
    found = measure(Namespace(worker=kind, **settings))
    assert found["recall"] > (0.8 if "8" in kind else 0.95)
    assert found["queries_a_second"] > 0 and found["gigabytes"] == 2


def test_the_nearest_are_kept() -> None:
    rows, queries = (
        make_rows(np.zeros((0, 4), "f"), 0, 60, 4),
        make_rows(np.zeros((0, 4), "f"), 1, 3, 4),
    )
    best, keys = np.full((3, K), -np.inf, dtype=np.float32), np.zeros((3, K), dtype=np.int64)
    for start in (0, 20, 40):
        best, keys = keep_nearest(best, keys, queries @ rows[start : start + 20].T, start)
    expected = np.argsort(-(queries @ rows.T), axis=1)[:, :K]
    assert [{*row} for row in keys.tolist()] == [{*row} for row in expected.tolist()]
