"""Listeners with weights: how much each component shapes the encoder they share."""

import copy
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from thinc.api import Adam, fix_random_seed

from spacy_ctxemb.listeners.collected_gradients import PendingUpdate
from spacy_ctxemb.listeners.listener import guard
from spacy_ctxemb.thinc_model.docs_to_outputs import forget
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import (
    BILM,
    TEXTCAT_DATA,
    WIDTH,
    blank,
    examples,
    listener,
    parameters,
    textcat_config,
)

NAMES = ("first", "second")
LISTENERS = ("Listener", "LayerMixListener")


def weighted(name: str, **settings: Any) -> dict[str, Any]:
    return {"@architectures": f"spacy-ctxemb.{name}.v1", "width": WIDTH, **settings}


def pipeline(*tok2vecs: dict[str, Any]) -> Language:
    """An encoder and a text classifier for each listener; they have learned a little, since output
    layers begin with zeros and pass nothing back."""
    nlp = blank()
    for name, tok2vec in zip(NAMES, tok2vecs, strict=False):
        nlp.add_pipe("textcat", name=name, config=textcat_config(tok2vec))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    optimizer = Adam(0.01)
    for _ in range(3):
        nlp.update(
            examples(nlp, TEXTCAT_DATA), sgd=optimizer, exclude=["ctxemb"], annotates=["ctxemb"]
        )
    return nlp


def find_gradients(nlp: Language, *factors: float) -> dict[str, torch.Tensor]:
    """Of the encoder, with other weights of the listeners."""
    nlp = copy.deepcopy(nlp)
    pipe = nlp.get_pipe("ctxemb")
    for node, factor in zip(pipe.listeners, factors, strict=True):
        guard(node).grad_factor = factor
    nlp.update(examples(nlp, TEXTCAT_DATA), sgd=False)
    pipe.flush_gradient()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in get_shim(pipe.model).named_parameters()
    }


@pytest.mark.parametrize("name", LISTENERS)
def test_the_encoder_gets_the_weighted_sum_of_gradients(name: str) -> None:
    nlp = pipeline(weighted(name), weighted(name))
    first, second, both = (find_gradients(nlp, *x) for x in ((1, 0), (0, 1), (2, 0.5)))
    for parameter, gradient in both.items():
        expected = 2 * first[parameter] + 0.5 * second[parameter]
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
    assert any(gradient.any() for gradient in first.values())
    assert any(gradient.any() for gradient in second.values())


@pytest.mark.parametrize("name", LISTENERS)
def test_the_config_says_how_much(name: str) -> None:
    even = pipeline(weighted(name), weighted(name))
    nlp = pipeline(weighted(name, grad_factor=0.25), weighted(name))
    nlp.from_bytes(even.to_bytes())
    pipe = nlp.get_pipe("ctxemb")
    nlp.update(examples(nlp, TEXTCAT_DATA), sgd=False)
    pipe.flush_gradient()
    expected = find_gradients(even, 0.25, 1.0)
    for parameter, p in get_shim(pipe.model).named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, expected[parameter], rtol=1e-4, atol=1e-6)


def test_a_mix_learns_the_same_whatever_its_weight() -> None:
    found = []
    nlp = pipeline(weighted("LayerMixListener"))
    for factor in (1.0, 0.0):
        twin = copy.deepcopy(nlp)
        (node,) = twin.get_pipe("ctxemb").listeners
        guard(node).grad_factor = factor
        twin.update(examples(twin, TEXTCAT_DATA), sgd=False)
        found.append(node.mix.weights.grad)
    assert found[0].any()
    assert torch.equal(*found)


@pytest.mark.parametrize("name", LISTENERS)
def test_a_component_of_no_weight_learns_and_does_not_train_the_encoder(name: str) -> None:
    nlp = pipeline(weighted(name, grad_factor=0.0))
    before, scores = parameters(nlp), nlp("A heron").cats
    optimizer = Adam(0.01, L2=0.1)
    for _ in range(3):
        nlp.update(examples(nlp, TEXTCAT_DATA), sgd=optimizer)
    assert all(torch.equal(before[name], value) for name, value in parameters(nlp).items())
    assert nlp("A heron").cats != scores


def test_one_factor_for_all_is_lost_on_adam() -> None:
    """As its description says."""
    changes = []
    nlp = pipeline(weighted("Listener"), weighted("Listener"))
    for factor in (1.0, 0.1):
        gradients = find_gradients(nlp, factor, factor)
        twin = copy.deepcopy(nlp)
        before = parameters(twin)
        for node in twin.get_pipe("ctxemb").listeners:
            guard(node).grad_factor = factor
        twin.update(examples(twin, TEXTCAT_DATA), sgd=False)
        twin.get_pipe("ctxemb").finish_update(Adam(0.001))
        changes.append({n: p - before[n] for n, p in parameters(twin).items()})
    for name, step in changes[0].items():
        large = gradients[name].abs() > 1e-4  # far above Adam's eps
        torch.testing.assert_close(changes[1][name][large], step[large], rtol=0.05, atol=1e-7)
    assert any((gradient.abs() > 1e-4).any() for gradient in gradients.values())


def test_beside_listeners_of_spacy_on_disk_and_replaced(tmp_path: Any) -> None:
    nlp = pipeline(weighted("Listener", grad_factor=0.5), listener())
    expected = nlp("A heron").cats
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded("A heron").cats == expected
    factors = [guard(node).grad_factor for node in loaded.get_pipe("ctxemb").listeners]
    assert factors == [0.5, 1.0]
    loaded.replace_listeners("ctxemb", "first", ["model.tok2vec"])
    assert loaded("A heron").cats == pytest.approx(expected)
    config = loaded.config["components"]["first"]["model"]["tok2vec"]
    assert config["@architectures"] == "spacy-ctxemb.ContextualTok2Vec.v1"


def test_another_width_is_noticed() -> None:
    nlp = blank({**BILM, "width": 12})
    with pytest.raises(ValueError, match=r"\[E020\] The listener of 'textcat' has width 16"):
        nlp.add_pipe("textcat", config=textcat_config(weighted("Listener")))


@pytest.mark.parametrize("name", LISTENERS)
@pytest.mark.parametrize("factor", [-0.1, -2.0])
def test_a_factor_that_cannot_be(name: str, factor: float) -> None:
    message = rf"\[E027\] grad_factor of a listener is {factor}, but must be 0 or above\."
    with pytest.raises(ValueError, match=message):
        blank().add_pipe("textcat", config=textcat_config(weighted(name, grad_factor=factor)))


def test_small_gradients_where_numpy_raises() -> None:
    losses = {"ctxemb": 0.0}
    pending = PendingUpdate([], forget, losses, "ctxemb")
    with np.errstate(all="raise"):
        pending.collect("vectors", [np.full((1, 2), 1e-30, dtype="f")])
    assert losses == {"ctxemb": pytest.approx(2e-60)} and pending.arrived
