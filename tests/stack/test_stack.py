"""Several encoders at once: one vector a token, and training through all of them."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.training import Example
from thinc.api import SGD, Adam, Model, fix_random_seed

from spacy_ctxemb.stack.join_members import MemberMix, find_mix
from spacy_ctxemb.stack.stack import get_members
from spacy_ctxemb.thinc_model.embedder_shim import find_shims

from ..pipelines import (
    BILM,
    NER_DATA,
    TEXTS,
    TRANSFORMER,
    blank,
    examples,
    inline_model,
    learn_by_heart,
    listener,
    ner_config,
    textcat_config,
    update,
    vectors,
)
from ..stacks import CNN, COMBINE, MEMBERS, WIDTHS, stack, stacked, stacked_ner, with_vectors
from ..tiny import check_gradient, randomise


@pytest.fixture(params=COMBINE)
def combine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def build(combine: str, *, seed: int = 0) -> Language:
    """A Stack with an NER."""
    return stacked_ner(stack(**COMBINE[combine]), WIDTHS[combine], seed=seed)


def list_values(model: Model[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Copies of all parameters of a model, of PyTorch and of Thinc."""
    found = {
        f"{i}.{name}": p.detach().numpy().copy()
        for i, node in enumerate(model.walk())
        for shim in node.shims
        for name, p in shim.named_parameters()
    }
    found |= {
        f"{i}.{name}": node.get_param(name).copy()
        for i, node in enumerate(model.walk())
        for name in node.param_names
        if node.has_param(name)
    }
    return found


def list_changed(before: dict[str, Any], model: Model[Any, Any]) -> set[str]:
    after = list_values(model)
    return {name for name in before if not np.array_equal(before[name], after[name])}


def assert_equal_vectors(nlp: Language, other: Language) -> None:
    for a, b in zip(vectors(nlp), vectors(other), strict=True):
        assert_array_equal(a, b)


# Vectors


def test_vectors_stand_side_by_side_in_the_order_of_names() -> None:
    nlp = stacked(stack())
    members = get_members(nlp.get_pipe("ctxemb").model)
    assert list(members) == ["bert", "elmo", "static"]
    for text in TEXTS:
        doc = nlp(text)
        parts = [members[name].predict([nlp.make_doc(text)])[0] for name in sorted(MEMBERS)]
        assert_array_equal(doc.tensor, np.hstack(parts))
        assert doc.tensor.shape == (len(doc), 38)


def test_the_order_of_the_config_does_not_matter() -> None:
    nlp = stacked(stack())
    other = stacked(stack(dict(reversed(MEMBERS.items()))), seed=1)
    assert_equal_vectors(nlp, other.from_bytes(nlp.to_bytes()))


def test_a_mix_is_a_weighted_sum_of_projections() -> None:
    nlp = stacked(stack(combine="mix", width=20))
    pipe = nlp.get_pipe("ctxemb")
    shim = find_mix(pipe.model)
    assert shim is not None
    randomise(shim.mix)
    shares = list(pipe.member_weights().values())
    assert sum(shares) == pytest.approx(1)
    assert len({round(share, 3) for share in shares}) == 3
    doc = nlp("Oslo is  otherwise a bank")
    parts = [m.predict([doc])[0] for m in pipe.model.layers]
    for i, token in enumerate(doc):
        expected = np.zeros(20)
        for share, projection, part in zip(shares, shim.mix.projections, parts, strict=True):
            if part[i].any():
                weight, bias = (p.detach().numpy() for p in projection.parameters())
                expected += share * (weight @ part[i] + bias)
        assert_allclose(doc.tensor[i], expected, atol=1e-5)
        assert doc.tensor[i].any() != token.is_space
    assert not parts[2][0].any()  # Oslo has no static vector


def test_each_member_begins_with_the_same_share() -> None:
    nlp = stacked(stack(combine="mix", width=20))
    assert nlp.get_pipe("ctxemb").member_weights() == pytest.approx(dict.fromkeys(MEMBERS, 1 / 3))
    assert stacked(stack()).get_pipe("ctxemb").member_weights() == {}
    assert blank().get_pipe("ctxemb").member_weights() == {}


def test_a_mix_of_equal_widths_needs_no_width() -> None:
    members = {name: MEMBERS[name] for name in ("elmo", "bert")}
    nlp = stacked(stack(members, combine="mix"))
    assert nlp("two words").tensor.shape == (2, 16)


def test_vectors_do_not_depend_on_other_docs(combine: str) -> None:
    nlp = stacked(stack(**COMBINE[combine]))
    for text, tensor in zip(TEXTS, vectors(nlp), strict=True):
        assert_allclose(nlp(text).tensor, tensor, atol=1e-5)


def test_no_docs_and_empty_docs(combine: str) -> None:
    nlp = stacked(stack({**MEMBERS, "cnn": CNN}, **COMBINE[combine]))
    pipe = nlp.get_pipe("ctxemb")
    width = WIDTHS[combine] + (8 if combine == "concat" else 0)
    assert pipe.predict([]) == []
    assert nlp("").tensor.shape == (0, width)
    outputs, backprop = pipe.model.begin_update([nlp.make_doc(""), nlp.make_doc("")])
    assert [y.shape for y in outputs] == [(0, width)] * 2
    assert backprop(outputs) == []
    nlp.update([Example.from_dict(nlp.make_doc(""), {})], sgd=Adam(0.01))


def test_several_processes(combine: str) -> None:
    nlp = build(combine)
    found = [doc.tensor for doc in nlp.pipe(TEXTS, n_process=2, batch_size=3)]
    for a, b in zip(found, vectors(nlp), strict=True):
        assert_allclose(a, b, atol=1e-5)


# Training


def test_gradient_of_a_mix_equals_finite_differences() -> None:
    mix = randomise(MemberMix([3, 5], 4).double())
    generator = torch.Generator().manual_seed(1)
    members = [
        torch.nn.Parameter(torch.randn(6, n, generator=generator, dtype=torch.float64))
        for n in (3, 5)
    ]
    factor = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    named = [*mix.named_parameters(), *((f"member {i}", m) for i, m in enumerate(members))]
    check_gradient(lambda: (mix(members) * factor).sum(), named)


def test_gradient_equals_finite_differences(combine: str) -> None:
    """Of every parameter of every encoder, through the whole Stack."""
    members = {"elmo": MEMBERS["elmo"], "bert": {**MEMBERS["bert"], "window": 6, "stride": 3}}
    nlp = stacked(stack(members, **COMBINE[combine]))
    model = nlp.get_pipe("ctxemb").model
    docs = [nlp.make_doc(text) for text, _ in NER_DATA]
    generator = np.random.default_rng(0)
    modules = [randomise(shim.module).double() for node in model.walk() for shim in node.shims]
    outputs, backprop = model.begin_update(docs)
    factors = [generator.normal(size=y.shape) for y in outputs]
    backprop(factors)

    def compute_loss() -> float:
        found = model.begin_update(docs)[0]
        return sum(float((y * f).sum()) for y, f in zip(found, factors, strict=True))

    def check(value: Any, gradient: Any) -> None:
        direction = generator.normal(size=value.shape)
        losses = []
        for sign in (1, -2):
            value += sign * 1e-6 * direction
            losses.append(compute_loss())
        value += 1e-6 * direction
        expected = (losses[0] - losses[1]) / 2e-6
        assert float((gradient * direction).sum()) == pytest.approx(expected, 1e-5, 1e-5)

    n_checked = 0
    for module in modules:
        for parameter in module.parameters():
            check(parameter.detach().numpy(), parameter.grad.numpy())
            n_checked += 1
    assert n_checked > 40


def test_ner_learns_by_heart_through_all_members(combine: str) -> None:
    nlp = build(combine)
    before = list_values(nlp.get_pipe("ctxemb").model)
    learn_by_heart(nlp, NER_DATA, "ents_f")
    assert list_changed(before, nlp.get_pipe("ctxemb").model) == set(before)


def test_a_model_of_spacy_is_a_member(tmp_path: Any) -> None:
    model = stack({"elmo": MEMBERS["elmo"], "cnn": CNN})
    nlp = stacked_ner(model, 24)
    learn_by_heart(nlp, NER_DATA, "ents_f")
    nlp.to_disk(tmp_path)
    assert_equal_vectors(nlp, spacy.load(tmp_path))


def test_each_member_freezes_by_itself() -> None:
    frozen = {**MEMBERS["elmo"], "freeze_layers": 3}
    rows = {**MEMBERS["static"], "width": 10, "project": False}
    nlp = stacked_ner(stack({**MEMBERS, "elmo": frozen, "static": rows}), 42)
    members = get_members(nlp.get_pipe("ctxemb").model)
    before = {name: list_values(member) for name, member in members.items()}
    table = nlp.vocab.vectors.data.copy()
    update(nlp, NER_DATA, 4)
    assert list_changed(before["bert"], members["bert"]) == set(before["bert"])
    assert list_changed(before["elmo"], members["elmo"]) == {"0.mix.weights", "0.mix.gamma"}
    assert before["static"] == {}
    assert_array_equal(nlp.vocab.vectors.data, table)


def test_each_member_has_its_own_rate_and_schedule() -> None:
    schedule = {"@schedules": "spacy-ctxemb.unfreeze.v1", "n_layers": 3, "every": 2, "start": 2}
    slow = {**MEMBERS["elmo"], "freeze_layers": schedule}
    nlp = stacked_ner(stack({**MEMBERS, "elmo": slow}), 38)
    members = get_members(nlp.get_pipe("ctxemb").model)
    before = {name: list_values(member) for name, member in members.items()}
    update(nlp, NER_DATA, 3)
    changed = {name: list_changed(before[name], members[name]) for name in members}
    assert changed["bert"] == set(before["bert"])
    assert set() < changed["elmo"] < set(before["elmo"])


def test_averages_act_on_all_members(combine: str) -> None:
    nlp = build(combine)
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(3):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    model = nlp.get_pipe("ctxemb").model
    now = list_values(model)
    with nlp.use_params(optimizer.averages):
        assert list_changed(now, model) == set(now)
    assert list_changed(now, model) == set()


def test_a_stack_inside_a_component(tmp_path: Any) -> None:
    nlp = with_vectors()
    members = {name: MEMBERS[name] for name in ("elmo", "static")}
    nlp.add_pipe("ner", config=ner_config(stack(members)))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    learn_by_heart(nlp, NER_DATA, "ents_f")
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).evaluate(examples(nlp, NER_DATA))["ents_f"] == 1.0


def test_replaced_listeners_predict_and_learn_the_same(combine: str, tmp_path: Any) -> None:
    nlp = build(combine)
    update(nlp, NER_DATA, 30)
    nlp.add_pipe("textcat", config=textcat_config(listener(width=WIDTHS[combine])))
    nlp.get_pipe("textcat").initialize(lambda: examples(nlp, [("a", {"cats": {"x": 1, "y": 0}})]))
    scores = nlp("Grace lives in Oslo.").cats
    nlp.replace_listeners("ctxemb", "textcat", ["model.tok2vec"])
    assert nlp("Grace lives in Oslo.").cats == pytest.approx(scores)
    config = nlp.config["components"]["textcat"]["model"]["tok2vec"]
    assert config["@architectures"] == "spacy-ctxemb.Stack.v1"
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path)("Grace lives in Oslo.").cats == pytest.approx(scores)
    own, shared = (nlp.get_pipe(name).model for name in ("textcat", "ctxemb"))
    ids = [shim.id for model in (own, shared) for shim in find_shims(model)]
    assert len(set(ids)) == 4
    before = list_values(shared)
    egs = [("Grace lives in Oslo.", {"cats": {"x": 1.0, "y": 0.0}})]
    for _ in range(2):
        nlp.update(examples(nlp, egs), sgd=SGD(0.5), exclude=["ctxemb", "ner"])
    assert list_changed(before, shared) == set()
    assert nlp("Grace lives in Oslo.").cats != pytest.approx(scores)


# Serialisation


def test_bytes_disk_pickle_and_copies_are_equal_bit_for_bit(combine: str, tmp_path: Any) -> None:
    nlp = build(combine)
    update(nlp, NER_DATA, 3)
    nlp.to_disk(tmp_path)
    twins = [
        build(combine, seed=1).from_bytes(nlp.to_bytes()),
        spacy.load(tmp_path),
        copy.deepcopy(nlp),
        pickle.loads(pickle.dumps(nlp)),
    ]
    before = list_values(nlp.get_pipe("ctxemb").model)
    for shim in find_shims(nlp.get_pipe("ctxemb").model):
        shim.weights_changed()  # forget words that were met in other batches
    for twin in twins:
        assert list_changed(before, twin.get_pipe("ctxemb").model) == set()
        assert_equal_vectors(nlp, twin)
        assert twin.to_bytes() == nlp.to_bytes()
        update(twin, NER_DATA, 2)
    assert list_changed(before, nlp.get_pipe("ctxemb").model) == set()


def test_each_encoder_has_a_folder(tmp_path: Any) -> None:
    nlp = stacked(stack(combine="mix", width=20))
    nlp.to_disk(tmp_path)
    folder = tmp_path / "ctxemb" / "model"
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    expected = {
        *("elmo/encoder.safetensors", "bert/encoder.safetensors"),
        *("static.bin", "mix.safetensors"),
    }
    assert found == expected


def test_before_it_has_weights(combine: str, tmp_path: Any) -> None:
    # Without word pieces, which want a vocabulary first.
    model = stack({n: MEMBERS[n] for n in ("elmo", "static")}, **COMBINE[combine])
    nlp = with_vectors()
    nlp.add_pipe("ctxemb", config={"model": model})
    nlp.to_disk(tmp_path)
    for empty in (nlp, spacy.load(tmp_path)):
        with pytest.raises(RuntimeError, match=r"\[E008\]"):
            empty("two words")
    trained = stacked(model)
    assert_equal_vectors(trained, nlp.from_bytes(trained.to_bytes()))


def test_a_mix_without_values() -> None:
    nlp = stacked(stack(combine="mix", width=20))
    shim = find_mix(nlp.get_pipe("ctxemb").model)
    assert shim is not None
    shim.from_bytes(safetensors.torch.save({}))
    with pytest.raises(RuntimeError, match=r"\[E008\]"):
        nlp("two words")
    with pytest.raises(RuntimeError, match=r"\[E008\]"):
        nlp.get_pipe("ctxemb").member_weights()


def test_a_mix_reads_no_weights_of_vectors_side_by_side(tmp_path: Any) -> None:
    stored = stacked(stack())
    stored.to_disk(tmp_path)
    pipe = stacked(stack(combine="mix", width=38)).get_pipe("ctxemb")
    with pytest.raises(ValueError, match=r"\[E046\]"):
        pipe.model.from_bytes(stored.get_pipe("ctxemb").model.to_bytes())
    with pytest.raises(ValueError, match=r"\[E163\] .*mix.safetensors cannot .* it is not there"):
        pipe.from_disk(tmp_path / "ctxemb")


def test_initialize_draws_all_anew() -> None:
    nlp = stacked(stack(combine="mix", width=20))
    before = list_values(nlp.get_pipe("ctxemb").model)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    changed = list_changed(before, nlp.get_pipe("ctxemb").model)
    assert any(name.endswith("W") for name in changed)
    assert {name.split(".")[0] for name in changed} == {"0", "1", "2", "3"}


@pytest.mark.parametrize("members", [["elmo"], ["elmo", "bert", "static", "cnn"]])
def test_weights_of_other_members(members: list[str], tmp_path: Any) -> None:
    stored = stacked(stack())
    stored.to_disk(tmp_path)
    nlp = stacked(stack({name: {**MEMBERS, "cnn": CNN}[name] for name in members}))
    message = rf"\[E046\] A Stack of \[.*{sorted(members)[-1]}'\] is not .*\[pretraining\] layer"
    with pytest.raises(ValueError, match=message):
        nlp.get_pipe("ctxemb").model.from_bytes(stored.get_pipe("ctxemb").model.to_bytes())
    assert_equal_vectors(stored, stored.from_disk(tmp_path))
    if "cnn" in members:
        with pytest.raises(ValueError, match=r"\[E163\] .*cnn.bin cannot be read as the member"):
            nlp.get_pipe("ctxemb").from_disk(tmp_path / "ctxemb")


# Bad configs


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"combine": "sum"}, r"\[E040\] .*'sum'.*\['concat', 'mix'\]"),
        ({"members": {}}, r"\[E041\] .*the names \[\]"),
        ({"members": {"a b": CNN}}, r"\[E041\] .*\['a b'\].*letters, digits"),
        ({"members": {"a": {"x": 1}}}, r"\[E042\] The member 'a' of a Stack is dict\."),
        ({"members": {"a": stack({"b": CNN})}}, r"\[E042\] The member 'a' .* a Stack itself"),
        (
            {"members": {"a": {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True,
                               "ngram_size": 1, "no_output_layer": False}}},
            r"\[E042\] The member 'a' .* the model '.*', whose width",
        ),
        ({"width": 9}, r"\[E043\] .* is 9 with combine = 'concat' .* \[16, 16, 6\].* 38 columns"),
        ({"combine": "mix", "width": 0}, r"\[E043\] .* is 0 with combine = 'mix'"),
        ({"combine": "mix"}, r"\[E043\] .* is null with combine = 'mix' .* \[16, 16, 6\]"),
    ],
)  # fmt: skip
def test_configs_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_vectors().add_pipe("ctxemb", config={"model": {**stack(), **settings}})


def test_a_vocabulary_without_vectors() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"model": stack()})
    with pytest.raises(ValueError, match=r"\[E047\]"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))


def test_a_listener_of_another_width() -> None:
    nlp = stacked(stack())
    with pytest.raises(ValueError, match=r"\[E020\].*'ner' has width 16.*of width 38"):
        nlp.add_pipe("ner", config=ner_config(listener()))


def test_an_encoder_alone_reads_no_stack(tmp_path: Any) -> None:
    stored = stacked(stack({"elmo": inline_model(BILM), "bert": inline_model(TRANSFORMER)}))
    nlp = blank()
    with pytest.raises(ValueError, match=r"\[E162\].*width of the vectors: expected 16, found 32"):
        nlp.get_pipe("ctxemb").model.from_bytes(stored.get_pipe("ctxemb").model.to_bytes())
