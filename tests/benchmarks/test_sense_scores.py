"""The maths of word senses, against plain loops and by hand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .sense_scores import (
    Items,
    cosine,
    find_threshold,
    is_most_frequent,
    is_nearest_centroid,
    is_nearest_neighbour,
    unit,
)

TRAIN = Items(["bank", "bank", "bank", "line"], ["money", "river", "money", "rope"])


def test_the_most_frequent_sense() -> None:
    test = Items(["bank", "bank", "line", "serve"], ["money", "river", "rope", "x"])
    assert is_most_frequent(TRAIN, test).tolist() == [True, False, True, False]


def test_the_nearest_centroid() -> None:
    X = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 1.0], [-1.0, 0.0]])  # money: (2, 0.5)
    test = Items(
        ["bank", "bank", "bank", "line", "serve"], ["money", "river", "river", "rope", "x"]
    )
    Z = np.array([[9.0, 1.0], [0.1, 2.0], [1.0, 0.2], [5.0, 5.0], [1.0, 1.0]])
    assert is_nearest_centroid(TRAIN, X, test, Z).tolist() == [True, True, False, True, False]


def test_neighbours_of_the_same_lemma_vote() -> None:
    train = Items(["a"] * 5 + ["b"], list("xyyxx") + ["z"])
    angles = np.radians([0, 10, 20, 60, 70, 1])
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = is_nearest_neighbour(
        train, X, Items(["a"], ["y"]), np.array([[7.0, 0.0]]), (1, 2, 3, 5)
    )
    # x alone; x and y, of which x is nearer; x, y, y; three of x, two of y
    assert {k: bool(right[0]) for k, right in found.items()} == {
        1: False,
        2: False,
        3: True,
        5: False,
    }


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 12))
def test_neighbours_are_those_of_a_plain_loop(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    train = Items(rng.choice(["a", "b"], 9).tolist(), rng.choice(["x", "y", "z"], 9).tolist())
    test = Items(rng.choice(["a", "b"], 6).tolist(), rng.choice(["x", "y", "z"], 6).tolist())
    X, Z = rng.normal(size=(9, 4)), rng.normal(size=(6, 4))
    found = is_nearest_neighbour(train, X, test, Z, (k,))[k]
    for i, (lemma, sense) in enumerate(zip(*test, strict=True)):
        scored = sorted(
            (
                (float(cosine(Z[i : i + 1], X[j : j + 1])[0]), train.senses[j])
                for j in range(9)
                if train.lemmas[j] == lemma
            ),
            reverse=True,
        )[:k]
        votes = Counter(s for _, s in scored)
        best = max(votes, key=lambda s: (votes[s], sum(v for v, t in scored if t == s)), default="")
        assert found[i] == (best == sense)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=12),
)
def test_no_threshold_is_better(rows: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in rows], dtype=float)
    labels = np.array([label for _, label in rows])
    threshold, accuracy = find_threshold(values, labels)
    assert ((values >= threshold) == labels).mean() == pytest.approx(accuracy)
    best = max(((values >= t) == labels).mean() for t in np.arange(-4, 5))
    assert accuracy == pytest.approx(best)


def test_vectors_of_zeros_are_like_nothing() -> None:
    X = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(unit(X), [[0, 0], [0.6, 0.8]])
    np.testing.assert_allclose(cosine(X, X), [0, 1])
