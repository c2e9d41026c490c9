"""Components that are asked by name, and the encoder that they read."""

import copy
import gc
import pickle
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example

from spacy_ctxemb.heads.question_answering import QuestionAnswering
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..bert_models import FAMILIES
from ..pipelines import TRANSFORMER, blank, examples, initialised
from .published import build_pipeline

TEXT = "Ada lived in Oslo. Grace worked in Lima for years, and the river was cold."
QUESTION = "Where did Ada live?"


def build(**settings: Any) -> Language:
    """A pipeline with a head for questions, of random weights."""
    nlp = build_pipeline(FAMILIES / "bert")
    give_head(nlp.add_pipe("ctxemb_qa", config=settings))
    return nlp


def give_head(pipe: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    width = pipe.shim.embedder.encoder.width
    weight = torch.randn(2, width, generator=generator)
    tensors = {"output.weight": weight, "output.bias": torch.zeros(2)}
    pipe.take({"width": width, "n_classes": 2}, tensors)


def ask(nlp: Language, name: str = "ctxemb_qa") -> Any:
    pipe: Any = nlp.get_pipe(name)
    assert isinstance(pipe, QuestionAnswering)
    return pipe.find_answers(QUESTION, TEXT).found


def shim_of(nlp: Language, name: str = "ctxemb") -> Any:
    return get_shim(nlp.get_pipe(name).model)


def reads(nlp: Language, name: str = "ctxemb_qa") -> Any:
    pipe: Any = nlp.get_pipe(name)
    return pipe.shim


@pytest.mark.parametrize(
    "factory", ["ctxemb", "ctxemb_ner", "ctxemb_textcat", "ctxemb_qa", "ctxemb_fill_mask"]
)
def test_pipelines_can_be_evaluated(factory: str) -> None:
    nlp = blank(TRANSFORMER)
    data = [
        ("Ada lives.", {"entities": [(0, 3, "PERSON")], "cats": {"a": 1.0, "b": 0.0}}),
        ("It rains.", {"entities": [], "cats": {"a": 0.0, "b": 1.0}}),
    ]
    if factory != "ctxemb":
        nlp.add_pipe(factory)
    nlp.initialize(lambda: examples(nlp, data))
    assert nlp.evaluate(examples(nlp, data))["token_acc"] == 1.0


def test_sourced_from_a_pipeline_that_is_gone() -> None:
    source = build()
    expected = ask(source)
    alone, both = spacy.blank("en"), spacy.blank("en")
    for name in ("ctxemb", "ctxemb_qa"):
        both.add_pipe(name, source=source)
    alone.add_pipe("ctxemb_qa", source=source)
    del source
    gc.collect()
    assert ask(both) == ask(alone) == expected
    assert reads(both) is shim_of(both)


def test_sourced_beside_another_encoder() -> None:
    """The encoder of its new pipeline is read, while the old one is alive."""
    source, nlp = build(), build_pipeline(FAMILIES / "bert")
    nlp.add_pipe("ctxemb_qa", source=source)
    assert reads(nlp) is shim_of(nlp) is not shim_of(source)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda nlp: pickle.loads(pickle.dumps(nlp))])
@pytest.mark.parametrize("is_first", [None, True])
def test_copies_read_their_own_encoder(make: Any, is_first: bool | None) -> None:
    nlp = build_pipeline(FAMILIES / "bert")
    give_head(nlp.add_pipe("ctxemb_qa", first=is_first))
    expected, twin = ask(nlp), make(nlp)
    assert reads(twin) is shim_of(twin) is not shim_of(nlp)
    del nlp
    gc.collect()
    assert ask(twin) == expected


def test_a_component_of_its_own_can_be_pickled() -> None:
    nlp = build()
    expected = ask(nlp)
    pipe = pickle.loads(pickle.dumps(nlp.get_pipe("ctxemb_qa")))
    del nlp
    gc.collect()
    assert pipe.find_answers(QUESTION, TEXT).found == expected


@pytest.mark.parametrize("disable", [[], ["ctxemb_qa"], ["ctxemb"], ["questions", "encoder"]])
def test_renamed_stored_and_loaded(disable: list[str], tmp_path: Path) -> None:
    nlp = build()
    expected = ask(nlp)
    nlp.rename_pipe("ctxemb", "encoder")
    assert ask(nlp) == expected
    nlp.rename_pipe("ctxemb_qa", "questions")
    assert ask(nlp, "questions") == expected
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, disable=disable)
    assert ask(loaded, "questions") == expected
    loaded.rename_pipe("encoder", "again")
    assert ask(loaded, "questions") == expected
    twin = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert ask(twin, "questions") == expected


def test_loaded_with_the_pipeline_freed(tmp_path: Path) -> None:
    nlp = build()
    nlp.to_disk(tmp_path)
    pipe: Any = spacy.load(tmp_path).get_pipe("ctxemb_qa")
    gc.collect()
    assert pipe.find_answers(QUESTION, TEXT).found == ask(nlp)


def test_disabled_components() -> None:
    nlp = build()
    expected = ask(nlp)
    for name in ("ctxemb", "ctxemb_qa"):
        with nlp.select_pipes(disable=[name]):
            assert ask(nlp) == expected
            nlp.add_pipe("sentencizer")  # spaCy links the others anew
            assert ask(nlp) == expected
            nlp.remove_pipe("sentencizer")
        assert ask(nlp) == expected


@pytest.mark.parametrize("encoder", ["ctxemb", "second"])
def test_two_encoders(encoder: str, tmp_path: Path) -> None:
    nlp = build_pipeline(FAMILIES / "bert")
    other = build_pipeline(FAMILIES / "bert")
    nlp.add_pipe("ctxemb", source=other, name="second")
    give_head(nlp.add_pipe("ctxemb_qa", config={"encoder": encoder}))
    with torch.no_grad():
        for parameter in shim_of(nlp, "second").embedder.parameters():
            parameter *= 1.5
    assert reads(nlp) is shim_of(nlp, encoder)
    nlp.rename_pipe(encoder, "renamed")
    assert reads(nlp) is shim_of(nlp, "renamed")
    expected = ask(nlp)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert reads(loaded) is shim_of(loaded, "renamed")
    assert ask(loaded) == expected


def test_an_encoder_of_another_width() -> None:
    nlp = initialised(TRANSFORMER)
    nlp.add_pipe("ctxemb_qa", source=build())
    with pytest.raises(ValueError, match=r"\[E621\] .*'ctxemb_qa' .* 12, .*'ctxemb' has width 16"):
        ask(nlp)


def test_an_encoder_in_the_place_of_another() -> None:
    nlp = build()
    nlp.remove_pipe("ctxemb")
    nlp.add_pipe("ctxemb", source=build_pipeline(FAMILIES / "bert"), first=True)
    assert reads(nlp) is shim_of(nlp)


def test_an_encoder_in_another_component() -> None:
    """It is found by the name of that component."""
    nlp = build_pipeline(FAMILIES / "bert")
    nlp.add_pipe("ctxemb_ner")
    eg = Example.from_dict(nlp.make_doc("Ada"), {"entities": [(0, 3, "PERSON")]})
    nlp.get_pipe("ctxemb_ner").initialize(lambda: [eg])
    nlp.replace_listeners("ctxemb", "ctxemb_ner", ["model.tok2vec"])
    give_head(nlp.add_pipe("ctxemb_qa", config={"encoder": "ctxemb_ner"}))
    twin = copy.deepcopy(nlp)
    assert reads(twin) is get_shim(twin.get_pipe("ctxemb_ner").model.layers[0])
