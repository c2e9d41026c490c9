"""Layers that thaw while training goes on."""

import copy
import pickle
from typing import Any

import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.util import load_model_from_config
from thinc.api import Adam, Config, Optimizer, registry

from spacy_ctxemb.finetuning.gradual_unfreezing import Unfreeze
from spacy_ctxemb.schedules import Series, as_function
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..docs.pages import read_excerpt
from ..pipelines import BILM, NER_DATA, blank, examples, initialised, parameters
from ..pretraining import start, tiny_config

#: Of both encoders.
N_LAYERS = 3

UNFREEZE = {
    "@schedules": "spacy-ctxemb.unfreeze.v1",
    "n_layers": N_LAYERS,
    "every": 2,
    "start": 1,
}


# Schedules


def test_one_layer_after_the_other() -> None:
    schedule = Unfreeze(3, every=2, start=4)
    assert [schedule(step) for step in range(10)] == [3, 3, 3, 3, 2, 2, 1, 1, 0, 0]
    assert [Unfreeze(3, every=1)(step) for step in range(4)] == [2, 1, 0, 0]


@given(st.integers(1, 30), st.integers(1, 50), st.integers(0, 50))
def test_layers_never_freeze_again(n_layers: int, every: int, start: int) -> None:
    schedule = Unfreeze(n_layers, every, start)
    end = start + (n_layers - 1) * every
    found = [schedule(step) for step in range(end + 1)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0
    assert end == 0 or found[-2] > 0
    assert found.count(n_layers) == start


@given(st.lists(st.floats(0, 9), min_size=1), st.lists(st.integers(0, 20)))
def test_a_generator_is_read_at_any_place(values: list[float], steps: list[int]) -> None:
    series = as_function(value for value in values)
    last = len(values) - 1
    assert [series(step) for step in steps] == [values[min(step, last)] for step in steps]


def test_copies_share_a_generator_and_pickles_keep_what_has_come() -> None:
    series = Series(iter(range(9)))
    assert series(3) == 3
    twin = copy.deepcopy(series)
    assert (twin(6), series(5), series(8)) == (6, 5, 8)
    short = Series(iter(range(9)))
    short(3)
    loaded = pickle.loads(pickle.dumps(short))
    assert [loaded(step) for step in (1, 3, 6)] == [1, 3, 3]


@pytest.mark.parametrize(
    "settings, message",
    [
        ((0, 1, 0), "n_layers is 0, every 1, start 0"),
        ((3, 0, 0), "n_layers is 3, every 0, start 0"),
        ((3, 1, -1), "n_layers is 3, every 1, start -1"),
    ],
)
def test_a_schedule_that_cannot_be(settings: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[E203\].*: {message}\. .*at least 1"):
        Unfreeze(*settings)


def test_an_empty_series() -> None:
    with pytest.raises(ValueError, match=r"\[E204\] This schedule has no number"):
        as_function([])


def test_it_is_registered_where_thinc_looks() -> None:
    config = {"schedule": {**UNFREEZE}}
    assert registry.resolve(config)["schedule"] == Unfreeze(N_LAYERS, every=2, start=1)


# In training


def step(nlp: Language, optimizer: Optimizer) -> set[str]:
    """One step with made-up gradients; returns the names of what it changed."""
    before = parameters(nlp)
    model = nlp.get_pipe("ctxemb").model
    vectors, backprop = model.begin_update([nlp.make_doc(text) for text, _ in NER_DATA])
    backprop([vector * 0.01 for vector in vectors])
    model.finish_update(optimizer)
    after = parameters(nlp)
    return {name for name in before if not torch.equal(before[name], after[name])}


def list_names(nlp: Language, first_layer: int) -> set[str]:
    """The parameters of a layer and those above it, the mix included."""
    layers = get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder.parameter_layers()
    lower = {f"encoder.{name}" for name, layer in layers.items() if layer < first_layer}
    return set(parameters(nlp)) - lower


def test_layers_keep_their_values_bit_for_bit_until_they_thaw(model: dict[str, Any]) -> None:
    nlp = initialised({**model, "freeze_layers": UNFREEZE})
    optimizer = Adam(0.01)
    frozen = [3, 2, 2, 1, 1, 0, 0]
    for n in frozen:
        assert step(nlp, optimizer) == list_names(nlp, first_layer=n)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    assert shim.n_steps == len(frozen)
    layers = shim.embedder.encoder.parameter_layers()
    for name, layer in layers.items():
        n_trained = sum(layer >= n for n in frozen)
        assert optimizer.nr_update[shim.id, f"encoder.{name}"] == n_trained


def test_frozen_layers_have_no_gradient_computed() -> None:
    nlp = initialised({**BILM, "freeze_layers": UNFREEZE})
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    for n in (3, 2, 2, 1):
        vectors, backprop = nlp.get_pipe("ctxemb").model.begin_update([nlp.make_doc("two words")])
        backprop([vector * 0 + 1 for vector in vectors])
        found = {name for name, p in shim.named_parameters() if p.grad is not None}
        assert found == list_names(nlp, first_layer=n)
        nlp.get_pipe("ctxemb").model.finish_update(Adam(0.01))


def test_a_schedule_of_thinc_is_rounded_up() -> None:
    """3, 2.4, 1.8, 1.2, 0.6, 0, 0"""
    schedule = {
        "@schedules": "warmup_linear.v1",
        "initial_rate": 3.0,
        "warmup_steps": 0,
        "total_steps": 5,
    }
    nlp = initialised({**BILM, "freeze_layers": schedule})
    for n in (3, 3, 2, 2, 1, 0, 0):
        assert step(nlp, Adam(0.01)) == list_names(nlp, first_layer=n)


def test_gradients_of_layers_that_freeze_again_are_dropped() -> None:
    nlp = initialised({**BILM, "freeze_layers": [0, 3, 0]})
    model = nlp.get_pipe("ctxemb").model
    docs = [nlp.make_doc("two words")]
    vectors, backprop = model.begin_update(docs)
    model.finish_update(Adam(0.01))  # as `nlp.update` does, before gradients come back
    backprop([vector * 0 + 1 for vector in vectors])
    assert step(nlp, Adam(0.01)) == list_names(nlp, first_layer=3)


def test_every_update_of_a_pipeline_counts() -> None:
    nlp = initialised({**BILM, "freeze_layers": UNFREEZE})
    for _ in range(3):
        nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.01))
    assert get_shim(nlp.get_pipe("ctxemb").model).n_steps == 3


def test_the_steps_of_a_loaded_pipeline_begin_anew(tmp_path: Any) -> None:
    nlp = initialised({**BILM, "freeze_layers": UNFREEZE})
    for _ in range(6):
        step(nlp, Adam(0.01))
    for keep in (copy.deepcopy, lambda nlp: pickle.loads(pickle.dumps(nlp))):
        assert step(keep(nlp), Adam(0.01)) == list_names(nlp, first_layer=0)
    nlp.to_disk(tmp_path)
    assert step(spacy.load(tmp_path), Adam(0.01)) == list_names(nlp, first_layer=3)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    assert step(nlp, Adam(0.01)) == list_names(nlp, first_layer=3)
    assert step(nlp.from_disk(tmp_path), Adam(0.01)) == list_names(nlp, first_layer=3)


def test_pretraining_trains_all_layers(tmp_path: Any) -> None:
    frozen = {"components__ctxemb__model__freeze_layers": [N_LAYERS]}
    pretraining = start(tiny_config("bilm", tmp_path, **frozen))
    encoder = pretraining.shim.embedder.encoder
    before = {name: value.detach().clone() for name, value in encoder.named_parameters()}
    pretraining.update()
    assert not any(torch.equal(before[name], value) for name, value in encoder.named_parameters())


def test_a_number_of_layers_that_there_are_not() -> None:
    message = r"\[E200\] freeze_layers is 4 at step 0, but .* to 3,"
    with pytest.raises(ValueError, match=message):
        blank({**BILM, "freeze_layers": [4]})
    nlp = initialised({**BILM, "freeze_layers": [3, -1]})
    step(nlp, Adam(0.01))
    with pytest.raises(ValueError, match=r"\[E200\].* is -1 at step 1,"):
        step(nlp, Adam(0.01))


@pytest.mark.parametrize("n_layers", [N_LAYERS - 1, N_LAYERS + 1])
def test_unfreezing_other_layers_than_there_are(model: dict[str, Any], n_layers: int) -> None:
    message = rf"\[E201\].* n_layers = {n_layers}, but the encoder has {N_LAYERS} .* n_layers to 3 "
    with pytest.raises(ValueError, match=message):
        blank({**model, "freeze_layers": {**UNFREEZE, "n_layers": n_layers}})


def test_the_excerpt_of_the_docs() -> None:
    excerpt = read_excerpt("layer by layer")
    base = '[nlp]\nlang = "en"\npipeline = ["ctxemb"]\n\n[components]\n\n[components.ctxemb]\n'
    section = f"[components.ctxemb.model]\n\n{excerpt}"
    config = Config().from_str(f'{base}factory = "ctxemb"\n\n{section}')
    nlp = load_model_from_config(config, auto_fill=True)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    assert shim.layer_training.freeze_layers == Unfreeze(5, every=200, start=100)
