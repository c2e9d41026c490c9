"""Listeners and those they listen to, each mistake by itself."""

from typing import Any

import pytest
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb.doctor.check_listeners import check_wiring
from spacy_ctxemb.doctor.findings import Level

from ..pipelines import BILM, inline_model, textcat_config
from ..stacks import stack
from .configs import build_plan, classifier, embedder, errors, messages, mixer, tok2vec


def find(components: dict[str, Any], **settings: Any) -> list[str]:
    return errors(check_wiring(build_plan(components, **settings)))


@pytest.mark.parametrize("upstream", ["*", "ctxemb"])
def test_what_fits(upstream: str) -> None:
    plan = build_plan(
        {
            "ctxemb": embedder(width=10),
            "textcat": classifier(upstream=upstream, width=10),
            "other": mixer(16, upstream=upstream),
        }
    )
    assert messages(check_wiring(plan), Level.ok) == [
        "'textcat' reads the vectors of 'ctxemb', width 10",
        "'other' reads the layers of 'ctxemb', width 16",
    ]
    assert not errors(check_wiring(plan))


def test_widths() -> None:
    components = {
        "ctxemb": embedder(width=10),
        "textcat": classifier(width=16),
        "other": mixer(10),
    }
    assert find(components) == [
        "[E020] The listener of 'textcat' has width 16, 'ctxemb' makes vectors of width 10. Set "
        "its width to 10. If it was added just now, remove it first: nlp.remove_pipe('textcat').",
        "[E032] The LayerMixListener of 'other' has width 10, the layers of 'ctxemb' have width "
        "16. Set its width to 16, the encoder's. If it was added just now, remove it first: "
        "nlp.remove_pipe('other').",
    ]


def test_listeners_before_the_embedder() -> None:
    components = {"textcat": classifier(), "ctxemb": embedder()}
    (found,) = find(components)
    assert found.startswith("'textcat' listens to any component, but no such component")


def test_nobody_to_listen_to() -> None:
    assert find({"textcat": classifier(upstream="encoder"), "ctxemb": embedder()}) == [
        "'textcat' listens to 'encoder', but no such component comes before it and writes "
        "vectors: it would read zeros."
    ]
    (found,) = find({"textcat": classifier()})
    assert found.startswith("'textcat' listens to any component, but no such component")


def test_a_disabled_embedder() -> None:
    components = {"ctxemb": embedder(), "textcat": classifier(upstream="ctxemb")}
    (found,) = find(components, disabled=["ctxemb"])
    assert found.startswith("'textcat' listens to 'ctxemb', but no such component")


def test_a_second_writer() -> None:
    components = {"ctxemb": embedder(), "tok2vec": tok2vec(), "textcat": classifier()}
    (found,) = find(components)
    assert found.startswith("[E026] 'tok2vec' comes after 'ctxemb' and writes doc.tensor too")


def test_two_embedders_one_after_the_other() -> None:
    components = {
        "first": embedder(),
        "textcat": classifier(upstream="first"),
        "second": embedder(),
        "textcat_multilabel": {**classifier(upstream="second"), "factory": "textcat_multilabel"},
    }
    assert find(components) == []
    components["textcat_multilabel"] = {**classifier(upstream="first")}
    assert [one[:6] for one in find(components)] == ["[E022]"]


@Language.component("writer", assigns=["doc.tensor"])
def write(doc: Doc) -> Doc:
    return doc


def test_another_component_that_writes_vectors() -> None:
    (found,) = find({"ctxemb": embedder(), "writer": {"factory": "writer"}})
    assert found.startswith("[E026] 'writer' comes after 'ctxemb' and writes doc.tensor too")


def test_an_encoder_of_its_own() -> None:
    plan = build_plan({"textcat": {"factory": "textcat", **textcat_config(inline_model(BILM))}})
    assert messages(check_wiring(plan), Level.ok) == ["'textcat' has an encoder of its own"]


def test_a_component_that_cannot_be_built() -> None:
    """The others are examined all the same."""
    components = {
        "ctxemb": embedder(window=10, stride=20),
        "textcat": classifier(),
        "typo": {"factory": "nothing"},
    }
    found = find(components)
    assert "'ctxemb' cannot be built: [E140] A stride of 20 does not fit" in found[0]
    assert "'typo' cannot be built: [E002]" in found[1]
    assert "would read zeros" in found[2]


def test_layers_of_several_encoders(model: dict[str, Any]) -> None:
    members = {"one": inline_model(BILM), "other": inline_model(model)}
    components = {
        "ctxemb": {"factory": "ctxemb", "model": stack(members, combine="mix")},
        "textcat": mixer(16),
    }
    (found,) = find(components)
    assert found.startswith("[E044] The LayerMixListener of 'textcat' needs a single encoder")
    components["textcat"] = classifier(upstream="ctxemb")
    assert find(components) == []
