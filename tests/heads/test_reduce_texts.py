"""TextCatReduce.v1 is spaCy's, but for texts without tokens."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import registry
from thinc.api import Model, fix_random_seed

from spacy_ctxemb.heads.reduce_texts import build_text_reducer, give_each_text_a_vector

from ..pipelines import BILM, TEXTS, blank, listener

WIDTH = 3
NAMES = ("first", "last", "max", "mean")


def vectors_of(*lengths: int) -> list[Any]:
    random = np.random.default_rng(0)
    return [random.normal(size=(n, WIDTH)).astype("f") for n in lengths]


def identity() -> Model[Any, Any]:
    """In place of a listener: vectors pass as they are."""
    return Model("identity", lambda model, x, is_train: (x, lambda d: d), dims={"nO": WIDTH})


def build(architecture: str, **choices: Any) -> Model[Any, Any]:
    """With random weights, the same ones for the same choices."""
    make = registry.get("architectures", architecture)
    model = make(tok2vec=identity(), exclusive_classes=True, nO=2, **choices)
    model.initialize()
    output = model.get_ref("output_layer")
    random = np.random.default_rng(1)
    for name in ("W", "b"):
        output.set_param(name, random.normal(size=output.get_param(name).shape).astype("f"))
    return model


@pytest.mark.parametrize("chosen", [c for c in product([False, True], repeat=4) if any(c)])
def test_it_is_spacys_for_texts_with_tokens(chosen: tuple[bool, ...]) -> None:
    choices = {f"use_reduce_{name}": is_on for name, is_on in zip(NAMES, chosen, strict=True)}
    vectors, gradient = vectors_of(3, 1, 2), np.ones((3, 2), "f")
    found, expected = (
        model.begin_update(vectors)
        for model in (
            build("spacy-ctxemb.TextCatReduce.v1", **choices),
            build("spacy.TextCatReduce.v1", **choices),
        )
    )
    np.testing.assert_array_equal(found[0], expected[0])
    gradients = [backprop(gradient) for _, backprop in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_without_tokens_is_a_vector_of_zeros(name: str) -> None:
    choices = {f"use_reduce_{other}": other == name for other in NAMES}
    model = build("spacy-ctxemb.TextCatReduce.v1", **choices)
    vectors = vectors_of(2, 0, 1)
    scores, backprop = model.begin_update(vectors)
    as_zeros = [rows if len(rows) else np.zeros((1, WIDTH), "f") for rows in vectors]
    np.testing.assert_array_equal(scores, model.predict(as_zeros))
    assert [gradient.shape for gradient in backprop(np.ones_like(scores))] == [
        rows.shape for rows in vectors
    ]
    others = model.predict([vectors[0], vectors[2]])
    np.testing.assert_allclose(scores[[0, 2]], others, rtol=1e-6)


@pytest.mark.parametrize("lengths", [(0,), (0, 0)])
def test_a_batch_may_have_no_tokens_at_all(lengths: tuple[int, ...]) -> None:
    model = build("spacy-ctxemb.TextCatReduce.v1")
    scores, backprop = model.begin_update(vectors_of(*lengths))
    assert scores.shape == (len(lengths), 2)
    assert [len(gradient) for gradient in backprop(np.ones_like(scores))] == list(lengths)


def test_the_width_is_that_of_what_it_fills() -> None:
    layer = give_each_text_a_vector(WIDTH)
    assert (layer.get_dim("nI"), layer.get_dim("nO")) == (WIDTH, WIDTH)
    (filled,) = give_each_text_a_vector().predict(vectors_of(0))
    assert filled.shape == (1, WIDTH)


def test_it_must_read_something() -> None:
    nothing = {f"use_reduce_{name}": False for name in NAMES}
    with pytest.raises(ValueError, match="E1057"):
        build_text_reducer(tok2vec=identity(), exclusive_classes=True, **nothing)


def build_pipeline() -> Language:
    """Random weights, trained for a few steps on texts one of which is empty."""
    fix_random_seed(0)
    nlp = blank(BILM)
    model = {"@architectures": "spacy-ctxemb.TextCatReduce.v1", "exclusive_classes": True}
    nlp.add_pipe("textcat", config={"model": {**model, "tok2vec": listener()}})
    cats = [{"A": float(i % 2), "B": float(1 - i % 2)} for i in range(len(TEXTS))]
    data = list(zip(TEXTS, cats, strict=True))
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": each}) for text, each in data]
    sgd = nlp.initialize(lambda: examples)
    losses: list[float] = []
    for _ in range(20):
        found = nlp.update(examples, sgd=sgd)
        losses.append(found["textcat"])
    assert losses[-1] < losses[0]
    return nlp


def test_it_trains_predicts_and_is_saved(tmp_path: Any) -> None:
    nlp = build_pipeline()
    expected = [doc.cats for doc in nlp.pipe(TEXTS)]
    assert all(sum(cats.values()) == pytest.approx(1, abs=1e-5) for cats in expected)
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert [doc.cats for doc in loaded.pipe(TEXTS)] == expected
    assert set(loaded(loaded.make_doc("")).cats) == {"A", "B"}


def test_listeners_can_be_replaced(tmp_path: Any) -> None:
    nlp = build_pipeline()
    expected = nlp("Money in the bank.").cats
    nlp.replace_listeners("ctxemb", "textcat", ["model.tok2vec"])
    assert nlp("Money in the bank.").cats == pytest.approx(expected, abs=1e-6)
