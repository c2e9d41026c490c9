"""Logistic regression with a chosen regularisation."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import PredefinedSplit

from spacy_ctxemb.heads.fit_logistic_regression import (
    STRENGTHS,
    USUAL_STRENGTH,
    assign_folds,
    choose_strength,
    fit_logistic_regression,
)
from spacy_ctxemb.heads.token_aggregation import softmax


def draw(n_classes: int, n_each: int = 10, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(n_classes, width))
    y = np.tile(np.arange(n_classes), n_each)
    return centers[y] + rng.normal(size=(len(y), width)), y


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_it_has_converged(n_classes: int) -> None:
    """Where biases are not regularised, the probabilities of a class add up to its examples."""
    X, y = draw(n_classes)
    weights, bias = fit_logistic_regression(X, y)
    assert weights.shape == (n_classes, X.shape[1]) and bias.shape == (n_classes,)
    probabilities = softmax(X @ weights.T + bias)
    np.testing.assert_allclose(probabilities.sum(axis=0), np.bincount(y), atol=0.05)
    assert (probabilities.argmax(axis=1) == y).mean() > 0.8


def test_place_and_scale_of_the_inputs_do_not_matter() -> None:
    X, y = draw(3)
    weights, bias = fit_logistic_regression(X, y)
    moved = 1e-3 * X + 100
    others, other_bias = fit_logistic_regression(moved, y)
    expected = softmax(X @ weights.T + bias)
    np.testing.assert_allclose(softmax(moved @ others.T + other_bias), expected, atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_strength_is_that_of_another_cross_validation(n_classes: int) -> None:
    X, y = draw(n_classes)
    split = PredefinedSplit(assign_folds(y))
    settings = {"Cs": STRENGTHS, "scoring": "neg_log_loss", "max_iter": 2000, "l1_ratios": [0.0]}
    other = LogisticRegressionCV(cv=split, use_legacy_attributes=False, **settings).fit(X, y)
    assert choose_strength(X, y) == other.C_


def test_folds() -> None:
    """Examples of a class take turns; the only one of a class is never held out."""
    y = np.array([0, 0, 1, 2, 2, 2, 2, 2, 2, 0])
    assert assign_folds(y).tolist() == [0, 1, -1, 0, 1, 2, 3, 4, 0, 2]


def test_one_example_of_each_class() -> None:
    X, y = draw(4, n_each=1)
    assert choose_strength(X, y) == USUAL_STRENGTH
    weights, bias = fit_logistic_regression(X, y)
    assert (X @ weights.T + bias).argmax(axis=1).tolist() == y.tolist()


def test_fewer_examples_than_folds() -> None:
    X, y = draw(3, n_each=2)
    X, y = np.vstack([X, X[:1] + 5]), np.append(y, 3)  # and a class with one
    weights, bias = fit_logistic_regression(X, y)
    assert np.isfinite(weights).all() and (X @ weights.T + bias).argmax(axis=1)[-1] == 3


def test_inputs_that_are_all_alike() -> None:
    """Nothing can be told apart; the probabilities are the shares of the classes."""
    weights, bias = fit_logistic_regression(np.ones((4, 3)), np.array([0, 1, 1, 1]))
    found = softmax(np.ones((1, 3)) @ weights.T + bias)[0]
    np.testing.assert_allclose(found, [0.25, 0.75], atol=1e-3)
