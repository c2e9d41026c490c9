"""What learns, and where weights come from."""

from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb.doctor.findings import Level
from spacy_ctxemb.doctor.freezing import check_freezing, has_weights

from ..pipelines import initialised
from .configs import build_plan, classifier, embedder, errors, messages, warnings

FROZEN = {"frozen_components": ["ctxemb"], "annotating_components": ["ctxemb"]}


@pytest.fixture
def sourced(tmp_path: Path) -> dict[str, Any]:
    initialised().to_disk(tmp_path / "pipeline")
    source = {"source": str(tmp_path / "pipeline")}
    return {"ctxemb": source, "textcat": classifier(upstream="ctxemb")}


def test_a_frozen_pipeline(sourced: dict[str, Any]) -> None:
    plan = build_plan(sourced, training=FROZEN)
    assert messages(check_freezing(plan), Level.ok) == [
        "'ctxemb' is frozen and annotates for ['textcat']",
        "'ctxemb' has the weights of the pipeline it comes from",
    ]
    assert not errors(check_freezing(plan)) and not warnings(check_freezing(plan))


def test_a_frozen_encoder_that_does_not_annotate(sourced: dict[str, Any]) -> None:
    plan = build_plan(sourced, training={"frozen_components": ["ctxemb"]})
    assert errors(check_freezing(plan)) == [
        "'ctxemb' is frozen and does not annotate, so ['textcat'] would have no vectors to learn "
        "from."
    ]


def test_a_frozen_encoder_without_weights() -> None:
    (found,) = errors(check_freezing(build_plan(training=FROZEN)))
    assert found.startswith("'ctxemb' is frozen, but nothing gives it weights")


def pretrained(path: Path, component: str = "ctxemb") -> dict[str, Any]:
    return {
        "initialize": {"init_tok2vec": str(path)},
        "pretraining": {"component": component, "layer": ""},
    }


def test_weights_of_pretraining(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    plan = build_plan(training=FROZEN, **pretrained(path))
    assert errors(check_freezing(plan)) == [f"There are no weights at {path} for 'ctxemb'."]
    path.touch()
    plan = build_plan(training=FROZEN, **pretrained(path))
    assert not errors(check_freezing(plan)) and has_weights(plan.parts[0], plan)
    plan = build_plan(training=FROZEN, **pretrained(path, "tok2vec"))
    assert len(errors(check_freezing(plan))) == 1


def test_random_weights() -> None:
    plan = build_plan()
    assert warnings(check_freezing(plan)) == ["'ctxemb' begins with random weights."]
    assert not has_weights(plan.parts[0], plan)


def test_what_nobody_trains() -> None:
    found = warnings(check_freezing(build_plan({"ctxemb": embedder()})))
    assert "No component listens to 'ctxemb', so nothing trains it." in found
    found = warnings(check_freezing(build_plan(training={"frozen_components": ["textcat"]})))
    assert "All that listen to 'ctxemb' are frozen: ['textcat']. Nothing trains it." in found
    components = {
        "ctxemb": embedder(),
        "textcat": classifier(),
        "other": {**classifier(), "factory": "textcat_multilabel"},
    }
    plan = build_plan(components, training={"frozen_components": ["other"]})
    assert "['other'] are frozen, but 'ctxemb', which they read, is not" in " ".join(
        warnings(check_freezing(plan))
    )


def test_names_that_are_not_there() -> None:
    plan = build_plan(training={"annotating_components": ["embedder"]})
    found = warnings(check_freezing(plan))
    assert found[0] == "training.annotating_components has ['embedder'], which are not there."
