"""Learning rates and other settings of the optimizer."""

from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb.doctor.check_learning_rate import check_learning_rate, read_rates
from spacy_ctxemb.doctor.findings import Level

from ..pipelines import TRANSFORMER, inline_model, textcat_config
from .configs import build_plan, classifier, embedder, errors, messages, warnings, write_pipeline

WARMUP = {"@schedules": "warmup_linear.v1", "warmup_steps": 10, "total_steps": 100}


def optimizer(rate: Any = 0.001, **settings: Any) -> dict[str, Any]:
    values = {"grad_clip": 1.0, "L2": 0.01, **settings, "learn_rate": rate}
    return {"optimizer": {"@optimizers": "Adam.v1", **values}}


def find(rate: Any = 0.001, n_steps: int | None = 100, **settings: Any) -> list[str]:
    plan = build_plan(training=optimizer(rate, **settings))
    assert not errors(check_learning_rate(plan, n_steps))
    return warnings(check_learning_rate(plan, n_steps))


def test_a_schedule_is_followed() -> None:
    rates = read_rates(optimizer({**WARMUP, "initial_rate": 0.5})["optimizer"], 100)
    assert (len(rates), rates[0], rates[10], max(rates)) == (100, 0.0, 0.5, 0.5)
    assert rates[-1] == pytest.approx(0.5 / 90)
    assert read_rates(optimizer(0.3)["optimizer"], 100) == [0.3] * 100


def test_nothing_to_say() -> None:
    assert find({**WARMUP, "initial_rate": 0.001}) == []
    plan = build_plan(training=optimizer())
    assert messages(check_learning_rate(plan, 100), Level.ok) == [
        "The learning rate is 0.001 in all steps"
    ]


def test_a_warmup_that_is_longer_than_training() -> None:
    assert find({**WARMUP, "initial_rate": 0.001}, 8) == [
        "The learning rate still rises when training ends after 8 steps: the warm-up is longer "
        "than the training."
    ]
    assert "warm-up" not in " ".join(find({**WARMUP, "initial_rate": 0.001}, 11 + 1))


def test_a_schedule_that_is_longer_than_training() -> None:
    assert find({**WARMUP, "initial_rate": 0.001}, 30) == [
        "The learning rate is still 0.000788889 when training ends after 30 steps, 79% of its "
        "maximum: the schedule is longer than the training."
    ]
    assert find({**WARMUP, "initial_rate": 0.001}, 90) == []
    assert find({"@schedules": "constant.v1", "rate": 0.001}, 30) == []


def test_an_optimizer_of_ones_own() -> None:
    plan = build_plan(training=optimizer())
    plan.training["optimizer"] = {"@optimizers": "mine.v1", "speed": 3}
    assert messages(check_learning_rate(plan, 100), Level.ok) == [
        "The optimizer is mine.v1, with rates of its own"
    ]
    assert not errors(check_learning_rate(plan, 100)) and not warnings(
        check_learning_rate(plan, 100)
    )


def test_no_rate_at_all() -> None:
    plan = build_plan(training=optimizer(0.0))
    assert errors(check_learning_rate(plan, 10)) == ["The learning rate is 0 in all steps."]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"L2": 0.5}, "L2 is 0.5: weights shrink fast."),
        ({"L2_is_weight_decay": False}, "L2 of 0.01 is added to gradients, which Adam scales"),
        ({"grad_clip": 0.0}, "grad_clip is 0: one bad batch may do much harm."),
        ({"grad_clip": 0.01}, "grad_clip is 0.01: nearly every step is cut short."),
        ({"grad_clip": 100.0}, "grad_clip is 100: one bad batch may do much harm."),
    ],
)
def test_oddities(settings: dict[str, Any], message: str) -> None:
    (found,) = find(**settings)
    assert found.startswith(message)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A classifier on a Transformer that has weights."""
    source = write_pipeline(tmp_path_factory.mktemp("pretrained"), TRANSFORMER)
    return {"ctxemb": source, "textcat": classifier(upstream="ctxemb")}


def test_a_transformer_with_weights(pretrained: dict[str, Any]) -> None:
    def find(rate: Any) -> list[str]:
        plan = build_plan(pretrained, training=optimizer(rate))
        return warnings(check_learning_rate(plan, 100))

    assert find({**WARMUP, "initial_rate": 1e-4}) == []
    assert find({**WARMUP, "initial_rate": 5e-5}) == [
        "['textcat'] are new, and learn at the same small rate as 'ctxemb', 5e-05 at most: they "
        "learn slowly."
    ]
    (found,) = find({**WARMUP, "initial_rate": 0.001})
    assert "fine-tuned at a rate of up to 0.001: it may forget" in found
    constant, warmup = find(0.001)
    assert "at a rate of up to 0.001" in constant
    assert warmup == "The learning rate of 'ctxemb' has no warm-up: it begins at 0.001."
    assert len(find(5e-5)) == 2


def test_a_new_transformer_may_learn_fast() -> None:
    components = {"ctxemb": embedder(**TRANSFORMER), "textcat": classifier()}
    plan = build_plan(components, training=optimizer(0.001))
    assert warnings(check_learning_rate(plan, 100)) == []


def test_a_head_on_a_frozen_encoder_learns_fast(pretrained: dict[str, Any]) -> None:
    frozen = {"frozen_components": ["ctxemb"], "annotating_components": ["ctxemb"]}
    plan = build_plan(pretrained, training={**optimizer(5e-5), **frozen})
    assert warnings(check_learning_rate(plan, 100)) == [
        "No encoder learns, and the learning rate is 5e-05 at most."
    ]
    plan = build_plan(pretrained, training={**optimizer(0.005), **frozen})
    assert warnings(check_learning_rate(plan, 100)) == []
    plan = build_plan(pretrained, training={**optimizer(0.1), **frozen})
    assert warnings(check_learning_rate(plan, 100)) == [
        "No encoder learns, and the learning rate is 0.1 at most."
    ]


def test_an_encoder_inside_a_component_learns() -> None:
    own = {"factory": "textcat", **textcat_config(inline_model(TRANSFORMER))}
    plan = build_plan({"textcat": own}, training=optimizer(5e-5))
    assert warnings(check_learning_rate(plan, 100)) == []
    plan = build_plan({"textcat": own}, training=optimizer(5e-5, grad_clip=0.0))
    (found,) = warnings(check_learning_rate(plan, 100))
    assert found.startswith("grad_clip is 0")


def test_the_rate_of_an_encoder_is_its_own(tmp_path: Path) -> None:
    source = write_pipeline(tmp_path, {**TRANSFORMER, "learn_rate_factor": 0.01})
    components = {"ctxemb": source, "textcat": classifier(upstream="ctxemb")}

    def find(rate: float) -> list[str]:
        schedule = {**WARMUP, "initial_rate": rate}
        return warnings(
            check_learning_rate(build_plan(components, training=optimizer(schedule)), 100)
        )

    assert find(0.05) == []  # a small one bears 0.0005
    (found,) = find(0.1)
    assert "fine-tuned at a rate of up to 0.001" in found


def test_an_encoder_that_freeze_layers_keeps_bears_any_rate(tmp_path: Path) -> None:
    source = write_pipeline(tmp_path, {**TRANSFORMER, "freeze_layers": 3})
    components = {"ctxemb": source, "textcat": classifier(upstream="ctxemb")}
    plan = build_plan(components, training=optimizer(0.005))
    assert warnings(check_learning_rate(plan, 100)) == []
    plan = build_plan(components, training=optimizer(5e-5))
    assert warnings(check_learning_rate(plan, 100)) == [
        "No encoder learns, and the learning rate is 5e-05 at most."
    ]
