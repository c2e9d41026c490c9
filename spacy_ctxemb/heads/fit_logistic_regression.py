"""Logistic regression whose regularisation is chosen by cross-validation."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: What cross-validation chooses from: C in scikit-learn, from strong regularisation to weak.
STRENGTHS = tuple(10.0 ** np.arange(-4, 2, 0.5))

#: Where no class has two examples, so that none can be held out.
USUAL_STRENGTH = 1.0

#: Parts of the examples that are held out in turn.
N_FOLDS = 5

#: Steps of the solver at most. It converges in far fewer on inputs of one scale.
MAX_STEPS = 2000


def fit_logistic_regression(X: Floats, y: Ints) -> tuple[Floats, Floats]:
    """Fit weights and biases to convergence, multinomial for more than two classes.

    X: (n, D). y: (n,), from 0 to K - 1, each of the K classes at least once; K is at least 2.
    Returns (K, D) and (K,), for X as it is: `softmax(X @ weights.T + bias)` are probabilities.
    """
    center, scale = X.mean(axis=0), float(np.sqrt(X.var(axis=0).mean())) or 1.0
    scaled = (X - center) / scale
    with threadpool_limits(1):  # the matrices are small: more threads wait for each other
        model = fit(scaled, y, choose_strength(scaled, y))
    weights, bias = model.coef_ / scale, model.intercept_
    if len(weights) == 1:  # of two classes scikit-learn has the difference
        weights, bias = np.vstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    return weights, bias - weights @ center


def fit(X: Floats, y: Ints, strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=MAX_STEPS).fit(X, y)


def choose_strength(X: Floats, y: Ints) -> float:
    """The strength that makes the probabilities of held-out examples best; USUAL_STRENGTH where
    none can be held out."""
    folds = assign_folds(y)
    if (folds < 0).all():
        return USUAL_STRENGTH
    losses = [compute_held_out_loss(X, y, folds, strength) for strength in STRENGTHS]
    return STRENGTHS[int(np.argmin(losses))]


def assign_folds(y: Ints) -> Ints:
    """The fold of each example: those of a class take turns. (n,) The only example of a class
    has -1: it is never held out."""
    folds = np.full(len(y), -1)
    for label in np.unique(y):
        (places,) = np.nonzero(y == label)
        if len(places) > 1:
            folds[places] = np.arange(len(places)) % N_FOLDS
    return folds


def compute_held_out_loss(X: Floats, y: Ints, folds: Ints, strength: float) -> float:
    """The sum of the log losses of all examples that are held out."""
    total = 0.0
    for fold in np.unique(folds[folds >= 0]):
        out = folds == fold
        log_probabilities = fit(X[~out], y[~out], strength).predict_log_proba(X[out])
        total -= float(log_probabilities[np.arange(out.sum()), y[out]].sum())
    return total
