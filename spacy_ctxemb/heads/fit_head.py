"""Fits the layer of a `ctxemb_textcat` to convergence, on an encoder that stays as it is."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import _pipe, minibatch
from torch.nn import functional as F

from ..component import ContextualEmbedder
from ..errors import Errors
from ..listeners.listener import list_listeners
from ..torch_state import in_ordinary_torch
from .head_as_thinc_model import read_states
from .head_shim import get_head
from .read_states import READS
from .text_classification import TextClassifier, weigh

Floats = NDArray[np.float64]
Fit = Callable[[Floats, NDArray[np.int64]], tuple[Floats, Floats]]

#: The parameters of a head that is one linear layer.
LINEAR = {"output.weight", "output.bias"}


class Fitted(NamedTuple):
    """Of C labels: weights, (C, D), biases, (C,), and whether the examples say nothing of what
    has the label and what has not, so that its score is constant: (C,)."""

    weights: Floats
    bias: Floats
    is_constant: NDArray[np.bool_]


@in_ordinary_torch
def fit_head(pipe: TextClassifier, examples: Iterable[Example], nlp: Language | None) -> None:
    """Give a head the weights of a logistic regression on what it reads of the examples.

    Labels that exclude each other share one multinomial regression. Otherwise each label has a
    regression of its own.
    Raises E640 for numbers, E641 without a pipeline, E642 for a head of several layers, E643 where
    there is nothing to tell apart, E644 without scikit-learn, E647 for an encoder whose weights
    are loaded later. Warns with W640.
    """
    if pipe.kind == "regression":
        raise ValueError(Errors.E640.format(name=pipe.name, kind=pipe.kind))
    if nlp is None:
        raise ValueError(Errors.E641.format(name=pipe.name))
    if get_head(pipe.model).get_tensors().keys() != LINEAR:
        raise ValueError(Errors.E642.format(name=pipe.name))
    try:
        from .fit_logistic_regression import fit_logistic_regression as fit
    except ImportError as error:
        raise ImportError(Errors.E644.format(name=pipe.name)) from error
    X, gold = read_examples(pipe, examples, nlp)
    fit_labels = fit_one_of if pipe.kind == "single_label" else fit_each
    weights, bias, is_constant = fit_labels(X, gold, fit)
    if is_constant.any():
        names = [pipe.classes[i] for i in np.flatnonzero(is_constant)]
        if is_constant.all():
            raise ValueError(Errors.E643.format(name=pipe.name, n=len(X), labels=names))
        warnings.warn(Errors.W640.format(name=pipe.name, labels=names), stacklevel=2)
    values = {"output.weight": weights, "output.bias": bias}
    get_head(pipe.model).load({name: torch.tensor(x).float() for name, x in values.items()})


def fit_one_of(X: Floats, gold: Floats, fit: Fit) -> Fitted:
    """Fit labels that exclude each other. X: (n, D). gold: (n, C).

    The score of a label without examples is constant, as if it had half an example.
    """
    is_known = gold.sum(axis=1) == 1
    X, y = X[is_known], gold[is_known].argmax(axis=1)
    weights, bias = np.zeros((gold.shape[1], X.shape[1])), np.zeros(gold.shape[1])
    present, y = np.unique(y, return_inverse=True)
    if len(present) < 2:
        return Fitted(weights, bias, np.ones(len(bias), dtype=np.bool_))
    weights[present], bias[present] = fit(X, y)
    scores = X @ weights[present].T + bias[present]
    usual = np.logaddexp.reduce(scores, axis=1).mean()
    is_constant = ~np.isin(np.arange(len(bias)), present)
    bias[is_constant] = usual + np.log(0.5 / len(X))
    return Fitted(weights, bias, is_constant)


def fit_each(X: Floats, gold: Floats, fit: Fit) -> Fitted:
    """Fit each label by itself. X: (n, D). gold: (n, C), from 0 to 1, nan where it is not known.

    The score of a label that all examples have, or none, is constant, by how many there are.
    """
    weights, bias = np.zeros((gold.shape[1], X.shape[1])), np.zeros(gold.shape[1])
    is_constant = np.zeros(len(bias), dtype=np.bool_)
    for i, column in enumerate(gold.T):
        is_known = ~np.isnan(column)
        y = (column[is_known] >= 0.5).astype(int)
        if y.any() and not y.all():
            both, both_bias = fit(X[is_known], y)
            weights[i], bias[i] = both[1] - both[0], both_bias[1] - both_bias[0]
        else:
            is_constant[i] = True
            bias[i] = np.log((y.sum() + 0.5) / (len(y) - y.sum() + 0.5))
    return Fitted(weights, bias, is_constant)


def read_examples(
    pipe: TextClassifier, examples: Iterable[Example], nlp: Language
) -> tuple[Floats, Floats]:
    """What the head's layer reads of each text, (n, D), and the values of its labels, (n, C)."""
    X, gold = [], []
    before = list(list_before(pipe, nlp))
    read, ops = READS[pipe.model.attrs["reads"]], pipe.model.ops
    normalize = get_head(pipe.model).settings["normalize"]
    for batch in minibatch(examples, nlp.batch_size):
        gold += [pipe.read_gold(eg) for eg in batch]
        docs: Iterable[Doc] = [eg.predicted.copy() for eg in batch]
        for name, proc in before:
            docs = _pipe(docs, proc, name, nlp.default_error_handler, {})
        states, _ = read_states(pipe.model.layers[0], list(docs), is_train=False)
        for one in states:
            windows = read(torch.from_numpy(ops.to_numpy(one["rows"])), [one])
            windows = F.normalize(windows, dim=-1) if normalize else windows
            X.append(weigh(one["owned"]) @ windows.numpy())
    return np.array(X, dtype=np.float64), np.array(gold, dtype=np.float64)


def list_before(pipe: TextClassifier, nlp: Language) -> Iterator[tuple[str, Any]]:
    """The components that run before a head is fitted: the encoder that it listens to, those that
    learn nothing, and those that annotate in training. spaCy switches frozen ones off while it
    initialises the others; they run all the same. Raises E647 for an encoder whose weights spaCy
    loads after that.
    """
    annotating = nlp.config["training"].get("annotating_components", ())
    listeners = list_listeners(pipe)
    for name, proc in nlp.components:
        if proc is pipe:
            return
        is_read = isinstance(proc, ContextualEmbedder) and any(
            own is other for own in listeners for other in proc.listeners
        )
        if isinstance(proc, ContextualEmbedder) and is_read and proc.loads_later(nlp):
            raise ValueError(Errors.E647.format(name=pipe.name, encoder=name))
        if is_read or name in annotating or not getattr(proc, "is_trainable", False):
            yield name, proc
