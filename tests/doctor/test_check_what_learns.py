"""What learns, in which precision, and where weights come from."""

from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb.doctor.build_components import Plan
from spacy_ctxemb.doctor.check_labels import check_many_classes
from spacy_ctxemb.doctor.check_what_learns import (
    check_learning,
    check_weights,
    find_weights,
    list_trained,
)
from spacy_ctxemb.doctor.findings import Finding, Level

from ..pipelines import BILM, TRANSFORMER, inline_model, listener, textcat_config
from ..stacks import stack
from .configs import (
    build_plan,
    classifier,
    embedder,
    errors,
    messages,
    tok2vec,
    warnings,
    write_pipeline,
)


def check(plan: Plan) -> list[Finding]:
    return [*check_learning(plan), *check_weights(plan)]


FROZEN = {"frozen_components": ["ctxemb"], "annotating_components": ["ctxemb"]}


@pytest.fixture
def sourced(tmp_path: Path) -> dict[str, Any]:
    source = write_pipeline(tmp_path / "pipeline")
    return {"ctxemb": source, "textcat": classifier(upstream="ctxemb")}


def test_a_frozen_pipeline(sourced: dict[str, Any]) -> None:
    plan = build_plan(sourced, training=FROZEN)
    assert messages(check(plan), Level.ok) == [
        "'ctxemb' is frozen and annotates for ['textcat']",
        "'ctxemb' has the weights of the pipeline it comes from",
    ]
    assert not errors(check(plan)) and not warnings(check(plan))


def test_a_frozen_encoder_that_does_not_annotate(sourced: dict[str, Any]) -> None:
    plan = build_plan(sourced, training={"frozen_components": ["ctxemb"]})
    assert errors(check(plan)) == [
        "['textcat'] would have no vectors in training: 'ctxemb', which they read, does not "
        "annotate."
    ]


def test_those_that_annotate_want_vectors(sourced: dict[str, Any]) -> None:
    plan = build_plan(sourced, training={"annotating_components": ["textcat"]})
    (found,) = errors(check(plan))
    assert found.endswith("'ctxemb', which they read, does not annotate.")
    plan = build_plan(sourced, training={"annotating_components": ["ctxemb", "textcat"]})
    assert not errors(check(plan))


def test_a_cache_of_what_is_trained(sourced: dict[str, Any]) -> None:
    cache = {"@misc": "spacy-ctxemb.FeatureCache.v1"}
    callback = {"@callbacks": "spacy-ctxemb.UseCache.v1", "component": "ctxemb", "cache": cache}
    initialize = {"before_init": callback}
    (found,) = warnings(check(build_plan(sourced, initialize=initialize)))
    assert found.startswith("[W007] 'ctxemb' has a cache, but is trained")
    plan = build_plan(sourced, training=FROZEN, initialize=initialize)
    assert not warnings(check(plan))


def test_a_frozen_encoder_without_weights() -> None:
    (found,) = errors(check(build_plan(training=FROZEN)))
    assert found.startswith("'ctxemb' is frozen, but nothing gives it weights")


def pretrained(path: Path, component: str = "ctxemb") -> dict[str, Any]:
    return {
        "initialize": {"init_tok2vec": str(path)},
        "pretraining": {"component": component, "layer": ""},
    }


def test_weights_of_pretraining(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    plan = build_plan(training=FROZEN, **pretrained(path))
    assert not errors(check(plan))
    assert f"'ctxemb' begins with the weights in {path}" in messages(check(plan), Level.ok)
    plan = build_plan(training=FROZEN, **pretrained(path, "tok2vec"))
    assert len(errors(check(plan))) == 1


def test_weights_of_a_published_model() -> None:
    """They are read by nlp.initialize, which leaves out what is frozen."""
    components = {"ctxemb": embedder() | {"pretrained": "owner/name"}, "textcat": classifier()}
    found = "'ctxemb' begins with the weights that pretrained = 'owner/name' names"
    assert found in messages(check(build_plan(components)), Level.ok)
    assert errors(check(build_plan(components, training=FROZEN)))


def test_random_weights() -> None:
    plan = build_plan()
    assert warnings(check(plan)) == ["'ctxemb' begins with random weights."]
    (part,) = plan.embedders
    assert find_weights("ctxemb", part) is None


NOTHING_TRAINS = (
    "Nothing trains 'ctxemb': no component that learns listens to it with a grad_factor above 0."
)


def test_what_nobody_trains() -> None:
    for plan in (
        build_plan({"ctxemb": embedder()}),
        build_plan(training={"frozen_components": ["textcat"]}),
    ):
        assert NOTHING_TRAINS in warnings(check(plan))
    components = {
        "ctxemb": embedder(),
        "textcat": classifier(),
        "other": {**classifier(), "factory": "textcat_multilabel"},
    }
    plan = build_plan(components, training={"frozen_components": ["other"]})
    assert "['other'] are frozen, but 'ctxemb', which they read, is not" in " ".join(
        warnings(check(plan))
    )


def test_names_that_are_not_there() -> None:
    plan = build_plan(training={"annotating_components": ["embedder"]})
    found = warnings(check(plan))
    assert found[0] == "training.annotating_components has ['embedder'], which do not exist."


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A component that begins with weights of the package, if only by their name."""
    monkeypatch.setattr(
        "spacy_ctxemb.stack.load_initial_weights.check_fit", lambda *arguments: None
    )
    return {"ctxemb": {**embedder(), "pretrained": "some_weights"}, "textcat": classifier()}


def test_weights_of_the_package(shipped: dict[str, Any]) -> None:
    expected = "'ctxemb' begins with the weights that pretrained = 'some_weights' names"
    for training in ({}, FROZEN):
        found = check(build_plan(shipped, training=training))
        assert expected in messages(found, Level.ok)
        assert not errors(found) and not warnings(found)


def test_a_loader_comes_before_weights_of_the_package(shipped: dict[str, Any]) -> None:
    loader = {"@misc": "spacy-ctxemb.BertWeights.v1", "path": "nowhere"}
    initialize = {"components": {"ctxemb": {"encoder_loader": loader}}}
    plan = build_plan(shipped, initialize=initialize)
    assert "'ctxemb' begins with the weights that its encoder_loader reads" in messages(
        check(plan), Level.ok
    )


def test_frozen_layers(tmp_path: Path) -> None:
    components = {"ctxemb": embedder(freeze_layers=3), "textcat": classifier()}
    plan = build_plan(components)
    assert warnings(check(plan)) == [
        "'ctxemb' begins with random weights, and freeze_layers keeps them all."
    ]
    assert list_trained(plan.parts[0]) == {}
    components["ctxemb"] = embedder(freeze_layers=2)
    plan = build_plan(components)
    assert list(list_trained(plan.parts[0])) == ["ctxemb"]
    source = write_pipeline(tmp_path / "pipeline", {**BILM, "freeze_layers": 3})
    plan = build_plan({"ctxemb": source, "textcat": classifier(upstream="ctxemb")})
    assert (
        "'ctxemb' has the weights of the pipeline it comes from, which freeze_layers keeps"
    ) in messages(check(plan), Level.ok)


def test_listeners_that_send_no_gradient() -> None:
    def plan(*factors: float) -> Plan:
        mute = {"@architectures": "spacy-ctxemb.Listener.v1", "upstream": "ctxemb"}
        names = ("textcat", "textcat_multilabel")
        heads = {
            name: {**classifier(**mute, grad_factor=factor), "factory": name}
            for name, factor in zip(names, factors, strict=False)
        }
        return build_plan({"ctxemb": embedder(), **heads})

    silent = plan(0.0, 0.0)
    assert NOTHING_TRAINS in warnings(check(silent))
    assert list_trained(silent.parts[0]) == {}
    mixed = plan(0.0, 0.5)
    assert NOTHING_TRAINS not in warnings(check(mixed))
    assert list(list_trained(mixed.parts[0])) == ["ctxemb"]


def test_bf16_where_it_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU without its instructions trains faster in fp32; what is frozen does not care."""
    components = {"ctxemb": embedder(training_precision="bf16"), "textcat": classifier()}
    message = "training_precision of 'ctxemb' is 'bf16', but PyTorch has no fast products"

    def is_found(*, on_gpu: bool = False, supported: bool = False, **sections: Any) -> bool:
        monkeypatch.setattr("torch.cuda.is_available", lambda: on_gpu)
        monkeypatch.setattr(
            "spacy_ctxemb.doctor.check_what_learns.has_bf16_products", lambda: supported
        )
        found = warnings(check(build_plan(components, **sections)))
        return any(one.startswith(message) for one in found)

    assert is_found()
    assert not is_found(supported=True)
    assert not is_found(on_gpu=True)
    assert not is_found(training=FROZEN)
    components["ctxemb"] = embedder()
    assert not is_found()


def test_each_member_of_a_stack() -> None:
    members = {"elmo": inline_model(BILM), "mine": inline_model(BILM), "other": inline_model(BILM)}
    model = stack(members, combine="mix")
    components = {"ctxemb": {"factory": "ctxemb", "model": model}, "textcat": classifier()}
    loader = {"encoder_loader": {"@misc": "spacy-ctxemb.BertWeights.v1", "path": "nowhere"}}
    initialize = {"components": {"ctxemb": {"member_loaders": {"elmo": loader}}}}
    plan = build_plan(components, initialize=initialize)
    found = check(plan)
    assert "'ctxemb.elmo' begins with the weights that its encoder_loader reads" in messages(
        found, Level.ok
    )
    assert warnings(found) == [
        f"'ctxemb.{name}' begins with random weights." for name in ("mine", "other")
    ]


def test_a_frozen_transformer_without_a_mix(tmp_path: Path) -> None:
    layer = {**TRANSFORMER, "mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1}}
    source = write_pipeline(tmp_path / "top", layer)
    plain = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "ctxemb"}
    tagger = {"factory": "tagger", "model": {"tok2vec": plain}}
    expected = "['tagger'] read one layer of the Transformer 'ctxemb', which does not learn."

    def find(tagger: dict[str, Any], source: dict[str, Any], **training: Any) -> list[str]:
        return warnings(check(build_plan({"ctxemb": source, "tagger": tagger}, training=training)))

    assert find(tagger, source, **FROZEN) == [expected]
    assert find(tagger, source) == []
    assert find(tagger, write_pipeline(tmp_path / "mixed", TRANSFORMER), **FROZEN) == []
    mixing = {**plain, "@architectures": "spacy-ctxemb.LayerMixListener.v1"}
    assert find({"factory": "tagger", "model": {"tok2vec": mixing}}, source, **FROZEN) == []
    textcat = classifier(upstream="ctxemb")
    plan = build_plan({"ctxemb": source, "textcat": textcat}, training=FROZEN)
    assert warnings(check(plan)) == []


def test_a_frozen_bilm_under_many_classes(sourced: dict[str, Any], tmp_path: Path) -> None:
    def find(plan: Plan, n_labels: int) -> list[str]:
        (part,) = (part for part in plan.parts if part.name == "textcat")
        return warnings(check_many_classes(part, n_labels))

    (found,) = find(build_plan(sourced, training=FROZEN), 20)
    assert found.startswith("'textcat' has 20 labels, and 'ctxemb', the biLM it reads, does not")
    assert find(build_plan(sourced, training=FROZEN), 4) == find(build_plan(sourced), 20) == []
    source = write_pipeline(tmp_path / "transformer", TRANSFORMER)
    assert find(build_plan({**sourced, "ctxemb": source}, training=FROZEN), 20) == []
    cnn = tok2vec()["model"]
    members = {"cnn": cnn, "context": listener(upstream="ctxemb")}
    beside = {"@architectures": "spacy-ctxemb.Stack.v1", "members": members}
    textcat = {"factory": "textcat", **textcat_config(beside)}
    assert find(build_plan({**sourced, "textcat": textcat}, training=FROZEN), 20) == []


def test_questions_train_the_encoder_that_they_run(tmp_path: Path) -> None:
    """Their component has no listener, and reads nothing of the Docs."""
    source = write_pipeline(tmp_path / "pipeline", TRANSFORMER)
    components = {"ctxemb": source, "qa": {"factory": "ctxemb_qa"}}
    plan = build_plan(components)
    assert "'ctxemb' is trained by ['qa']" in messages(check(plan), Level.ok)
    assert not warnings(check(plan)) and list(list_trained(plan.parts[0])) == ["ctxemb"]
    plan = build_plan(components, training={"frozen_components": ["ctxemb"]})
    assert not errors(check(plan)) and not warnings(check(plan))
    plan = build_plan(components, training={"frozen_components": ["qa"]})
    assert NOTHING_TRAINS in warnings(check(plan))
    components["qa"] = {"factory": "ctxemb_fill_mask"}
    assert NOTHING_TRAINS in warnings(check(build_plan(components)))
