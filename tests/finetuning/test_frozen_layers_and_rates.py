"""Encoders whose layers are not all trained alike."""

import copy
from typing import Any

import pytest
import spacy
import torch
from spacy.language import Language
from thinc.api import SGD, Adam, Optimizer, RAdam

from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import (
    BILM,
    MODELS,
    NER_DATA,
    TRANSFORMER,
    WIDTH,
    blank,
    examples,
    initialised,
    inline_model,
    ner_config,
    parameters,
    with_ner,
)
from ..pretraining import start, tiny_config

#: Of both encoders.
N_LAYERS = 3


def train(nlp: Language, optimizer: Optimizer | None = None, *, steps: int = 4) -> set[str]:
    """Train; returns the names of the parameters of `ctxemb` that changed.

    The first gradient of a new NER is zero, and `nlp.update` updates encoders one batch later.
    """
    optimizer = optimizer or Adam(0.01)
    before = parameters(nlp)
    for _ in range(steps):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer, drop=0.1)
    return {name for name, value in parameters(nlp).items() if not torch.equal(before[name], value)}


def list_names(nlp: Language, first_layer: int) -> set[str]:
    """The parameters of a layer and those above it, mix and projection included."""
    layers = get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder.parameter_layers()
    lower = {f"encoder.{name}" for name, layer in layers.items() if layer < first_layer}
    return set(parameters(nlp)) - lower


@pytest.mark.parametrize("k", range(N_LAYERS + 1))
def test_the_lowest_layers_keep_their_values_bit_for_bit(model: dict[str, Any], k: int) -> None:
    nlp = with_ner({**model, "freeze_layers": k})
    optimizer = Adam(0.01)
    assert train(nlp, optimizer) == list_names(nlp, first_layer=k)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    known = {name for shim_id, name in optimizer.mom1 if shim_id == shim.id}
    assert known == list_names(nlp, first_layer=k)
    if k == N_LAYERS:
        assert known == {"mix.weights", "mix.gamma"}


def test_frozen_layers_have_no_gradient_computed(model: dict[str, Any]) -> None:
    nlp = initialised({**model, "freeze_layers": 2})
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    vectors, backprop = nlp.get_pipe("ctxemb").model.begin_update([nlp.make_doc("two words")])
    backprop([vector * 0 + 1 for vector in vectors])
    found = {name for name, parameter in shim.named_parameters() if parameter.grad is not None}
    assert found == list_names(nlp, first_layer=2)


def test_nothing_at_all_to_train(model: dict[str, Any]) -> None:
    mix = {"@architectures": "spacy-ctxemb.Layer.v1"}
    nlp = with_ner({**model, "mix": mix, "freeze_layers": N_LAYERS})
    assert train(nlp) == set()


def test_a_projection_learns_on_top(model: dict[str, Any]) -> None:
    mix = {"@architectures": "spacy-ctxemb.ConcatLayers.v1"}
    nlp = with_ner({**model, "mix": mix, "width": WIDTH, "freeze_layers": N_LAYERS})
    assert train(nlp) == {"projection.weight", "projection.bias"}


def test_listeners_that_mix_layers(model: dict[str, Any]) -> None:
    nlp = blank({**model, "freeze_layers": 2})
    tok2vec = {"@architectures": "spacy-ctxemb.LayerMixListener.v1", "width": WIDTH}
    nlp.add_pipe("ner", config=ner_config(tok2vec))
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    own_mix = {"mix.weights", "mix.gamma"}  # which no component listens to
    assert train(nlp) == list_names(nlp, first_layer=2) - own_mix


def test_long_documents_whose_windows_are_computed_again() -> None:
    nlp = with_ner({**TRANSFORMER, "batch_pieces": 32, "freeze_layers": 2})
    egs = examples(nlp, [("Ada lives in Oslo. " * 40, {"entities": [(0, 3, "PERSON")]})])
    before = parameters(nlp)
    optimizer = Adam(0.01)
    for _ in range(4):
        nlp.update(egs, sgd=optimizer, drop=0.2)
    after = parameters(nlp)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == list_names(nlp, first_layer=2)


def test_layers_stay_frozen_in_copies_and_loaded_pipelines(tmp_path: Any) -> None:
    nlp = with_ner({**BILM, "freeze_layers": 2})
    assert train(copy.deepcopy(nlp)) == list_names(nlp, first_layer=2)
    twin = with_ner({**BILM, "freeze_layers": 2}).from_bytes(nlp.to_bytes())
    assert train(twin) == list_names(nlp, first_layer=2)
    train(nlp)
    nlp.to_disk(tmp_path)
    assert train(spacy.load(tmp_path)) == list_names(nlp, first_layer=2)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    assert train(nlp) == list_names(nlp, first_layer=2)


def test_layers_thaw_when_a_pipeline_is_loaded(tmp_path: Any) -> None:
    nlp = with_ner({**BILM, "freeze_layers": 2})
    train(nlp)
    nlp.to_disk(tmp_path)
    config = {"components": {"ctxemb": {"model": {"freeze_layers": 0}}}}
    thawed = spacy.load(tmp_path, config=config)
    assert train(thawed) == set(parameters(thawed))


def test_an_encoder_inside_a_component() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("ner", config=ner_config(inline_model({**BILM, "freeze_layers": 1})))
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    (shim,) = [s for node in nlp.get_pipe("ner").model.walk() for s in node.shims]
    before = {name: value.detach().clone() for name, value in shim.named_parameters()}
    for _ in range(2):
        nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.01))
    for name, value in shim.named_parameters():
        assert torch.equal(before[name], value) == name.startswith("encoder.token_encoder.")


def test_pretraining_trains_all_layers(tmp_path: Any) -> None:
    frozen = {"components__ctxemb__model__freeze_layers": N_LAYERS}
    pretraining = start(tiny_config("bilm", tmp_path, **frozen))
    encoder = pretraining.shim.embedder.encoder
    before = {name: value.detach().clone() for name, value in encoder.named_parameters()}
    pretraining.update()
    assert not any(torch.equal(before[name], value) for name, value in encoder.named_parameters())


@pytest.mark.parametrize("k", [-1, N_LAYERS + 1])
@pytest.mark.parametrize("kind", MODELS)
def test_no_more_layers_are_frozen_than_there_are(kind: str, k: int) -> None:
    message = rf"\[E200\] freeze_layers is {k}, but must be from 0 .* to 3"
    with pytest.raises(ValueError, match=message):
        blank({**MODELS[kind], "freeze_layers": k})


OPTIMIZERS = {
    "sgd": lambda: SGD(0.1, grad_clip=0.0),
    "adam": lambda: Adam(0.001),
    "radam": lambda: RAdam(0.001),  # which ignores Thinc's lr_scale
    "decay": lambda: Adam(0.001, L2=0.1),
}


def measure_step(
    model: dict[str, Any], optimizer: Optimizer, *, scale: float = 1.0
) -> dict[str, torch.Tensor]:
    """By how much one step changes each parameter. scale: of the gradients."""
    nlp = with_ner(model)
    before = parameters(nlp)
    docs = [nlp.make_doc(text) for text, _ in NER_DATA]
    thinc_model = nlp.get_pipe("ctxemb").model
    vectors, backprop = thinc_model.begin_update(docs)
    backprop([vector * 0.01 * scale for vector in vectors])
    thinc_model.finish_update(optimizer)
    return {name: value - before[name] for name, value in parameters(nlp).items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_layer_learns_less_than_the_one_above(model: dict[str, Any], name: str) -> None:
    even = measure_step(model, OPTIMIZERS[name]())
    optimizer = OPTIMIZERS[name]()
    found = measure_step({**model, "layer_decay": 0.5}, optimizer)
    encoder = get_shim(blank(model).get_pipe("ctxemb").model).embedder.encoder
    layers = {f"encoder.{n}": layer for n, layer in encoder.parameter_layers().items()}
    for parameter, step in even.items():
        rate = 0.5 ** (N_LAYERS - 1 - layers.get(parameter, N_LAYERS - 1))
        assert step.any()
        torch.testing.assert_close(found[parameter], rate * step, rtol=1e-3, atol=1e-6)
    assert optimizer.learn_rate == OPTIMIZERS[name]().learn_rate


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_encoder_learns_at_a_rate_of_its_own(name: str, decay: float) -> None:
    even = measure_step({**BILM, "layer_decay": decay}, OPTIMIZERS[name]())
    changed = {**BILM, "layer_decay": decay, "learn_rate_factor": 0.1}
    found = measure_step(changed, OPTIMIZERS[name]())
    for parameter, step in even.items():
        rate = 0.1 if parameter.startswith("encoder.") else 1.0
        assert step.any()
        torch.testing.assert_close(found[parameter], rate * step, rtol=1e-3, atol=1e-6)


def test_adam_is_blind_to_the_size_of_gradients() -> None:
    """Why the factor acts on the step."""
    even = measure_step(BILM, Adam(0.001))
    scaled = measure_step(BILM, Adam(0.001), scale=0.1)
    for name, step in even.items():
        large = step.abs() > 0.00099  # its gradient is far above Adam's eps
        assert large.any()
        torch.testing.assert_close(scaled[name][large], step[large], rtol=0.1, atol=0)


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_factor_that_cannot_be(factor: float) -> None:
    message = rf"\[E206\] learn_rate_factor is {factor}, but must be above 0\."
    with pytest.raises(ValueError, match=message):
        blank({**BILM, "learn_rate_factor": factor})


@pytest.mark.parametrize("setting", ["layer_decay", "learn_rate_factor"])
def test_pretraining_trains_all_layers_alike(tmp_path: Any, setting: str) -> None:
    steps = []
    for decay in (1.0, 0.1):
        changed = {f"components__ctxemb__model__{setting}": decay}
        pretraining = start(tiny_config("bilm", tmp_path, **changed))
        pretraining.update()
        values = [parameter.flatten() for _, parameter in pretraining.shim.named_parameters()]
        steps.append(torch.cat(values).detach().clone())
    assert torch.equal(*steps)


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.1])
def test_a_rate_that_cannot_be(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"\[E205\] layer_decay is {decay}, but .* 0\.8 to 1\.0"):
        blank({**BILM, "layer_decay": decay})
