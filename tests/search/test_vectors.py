"""Both stores of vectors, against a dictionary that compares all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_ctxemb.search.vectors import DTYPES, ExactVectors, GraphVectors, find_largest, to_graph

pytest.importorskip("usearch", reason="usearch is not installed")

WIDTH = 8
STORES = [ExactVectors, GraphVectors]
#: How far cosines may be off.
NEAR = {"float32": 1e-5, "float16": 2e-3, "int8": 2e-2}

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 9)),
        st.tuples(st.just("remove"), st.integers(1, 5)),
        st.tuples(st.just("reload"), st.just(0)),
    ),
    min_size=1,
    max_size=12,
)


def make_rows(n: int, seed: int) -> Any:
    rows = np.random.default_rng(seed).standard_normal((n, WIDTH)).astype("f")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", STORES)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, seed=st.integers(0, 999))
def test_keys_stay_with_their_vectors(
    tmp_path: Path, kind: Any, dtype: str, steps: list[tuple[str, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    store, known, next_key = kind(WIDTH, dtype), {}, 0
    for i, (step, n) in enumerate(steps):
        if step == "add":
            rows, keys = make_rows(n, seed + i), np.arange(next_key, next_key + n)
            store.add(keys, rows)
            known.update(zip(keys.tolist(), rows, strict=True))
            next_key += n
        elif step == "remove":
            keys = rng.permutation([*known])[:n].astype(np.int64)
            store.remove(keys)
            for key in keys.tolist():
                del known[key]
        else:
            store.write(tmp_path / "file")
            store = kind(WIDTH, dtype)
            store.load(tmp_path / "file")
    assert len(store) == len(known)
    if known:
        check(store, known, NEAR[dtype], seed)


def check(store: Any, known: dict[int, Any], near: float, seed: int) -> None:
    queries = make_rows(3, seed + 1000)
    n = min(5, len(known))
    found = store.search(queries, n)
    for query, keys, scores in zip(queries, found.keys, found.scores, strict=True):
        expected = {key: float(query @ row) for key, row in known.items()}
        best = sorted(expected.values(), reverse=True)[:n]
        assert len({*keys.tolist()}) == n
        np.testing.assert_allclose(scores, best, atol=near)
        np.testing.assert_allclose([expected[key] for key in keys.tolist()], scores, atol=near)


def test_equal_vectors_keep_their_order() -> None:
    store = ExactVectors(WIDTH, "float32")
    store.add(np.arange(20), np.tile(make_rows(1, 0), (20, 1)))
    (keys,) = store.search(make_rows(1, 0), 5).keys
    assert keys.tolist() == [0, 1, 2, 3, 4]


def test_the_largest_values() -> None:
    scores = np.array([1, 3, 2, 3, 0], dtype="f")
    assert find_largest(scores, 2).tolist() == [1, 3]
    assert find_largest(scores, 3).tolist() == [1, 3, 2]
    assert find_largest(scores, 9).tolist() == [1, 3, 2, 0, 4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_graph_of_vectors_that_were_compared(dtype: str) -> None:
    store = ExactVectors(WIDTH, dtype)
    store.add(np.arange(3, 53), make_rows(50, 0))
    graph = to_graph(store)
    assert len(graph) == 50
    check(graph, dict(zip(range(3, 53), make_rows(50, 0), strict=True)), NEAR[dtype], 0)


def test_a_graph_without_usearch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "usearch.index", None)
    with pytest.raises(ImportError, match=r"\[E708\].*usearch.*spacy-ctxemb\[search\]"):
        GraphVectors(WIDTH, "float16")
