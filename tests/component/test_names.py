"""Renamed components, components of other pipelines, and names that are not there."""

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.util import load_model_from_config
from thinc.api import Adam, fix_random_seed

from ..pipelines import (
    BILM,
    TEXTCAT_DATA,
    blank,
    examples,
    inline_model,
    listener,
    ner_config,
    textcat_config,
)
from ..stacks import stack

KINDS = ["spacy.Tok2VecListener.v1", "spacy-ctxemb.Listener.v1", "spacy-ctxemb.LayerMixListener.v1"]
TEXTS = ["Ada Lovelace lives in Oslo.", "two words"]


def with_reader(kind: str, upstream: str, encoder: str = "ctxemb") -> Language:
    """An encoder of some name, and a classifier that listens to it."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", name=encoder, config={"model": BILM, "pretrained": None})
    nlp.add_pipe("textcat", config=reader(kind, upstream))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    learn(nlp)
    return nlp


def reader(kind: str, upstream: str = "*") -> dict[str, Any]:
    return textcat_config({"@architectures": kind, "width": 16, "upstream": upstream})


def learn(nlp: Language, steps: int = 2, **settings: Any) -> None:
    optimizer = Adam(0.01)
    for _ in range(steps):
        nlp.update(examples(nlp, TEXTCAT_DATA), sgd=optimizer, **settings)


def scores(nlp: Language, **settings: Any) -> Any:
    return np.array([list(doc.cats.values()) for doc in nlp.pipe(TEXTS, **settings)])


def reload(nlp: Language, path: Path) -> Language:
    nlp.to_disk(path)
    return spacy.load(path)


def assert_trains(nlp: Language, encoder: str) -> None:
    """The gradient of a listener reaches its encoder."""
    before, losses = nlp("two words").tensor, dict[str, float]()
    learn(nlp, losses=losses)
    assert losses[encoder] > 0.0
    assert not np.array_equal(nlp("two words").tensor, before)


@pytest.mark.parametrize("upstream", ["*", "ctxemb"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_renamed_encoder(kind: str, upstream: str, tmp_path: Path) -> None:
    nlp = with_reader(kind, upstream)
    expected = scores(nlp)
    nlp.rename_pipe("ctxemb", "elmo")
    assert nlp.pipe_names == ["elmo", "textcat"]
    loaded = reload(nlp, tmp_path)
    for twin in (nlp, loaded):
        np.testing.assert_array_equal(scores(twin), expected)
        assert twin.get_pipe("elmo").listening_components == ["textcat"]
    assert_trains(nlp, "elmo")
    loaded.replace_listeners("elmo", "textcat", ["model.tok2vec"])
    np.testing.assert_allclose(scores(loaded), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_encoders_that_swap_names(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each reader goes on to read from the same one, so there is nothing to warn of."""
    nlp = with_reader(kind, "ctxemb")
    nlp.add_pipe("ctxemb", name="second", config={"model": BILM, "pretrained": None})
    nlp.get_pipe("second").initialize(lambda: examples(nlp, TEXTCAT_DATA), nlp=nlp)
    expected = nlp("two words")
    with caplog.at_level(logging.WARNING, logger="spacy"):
        for old, new in (("ctxemb", "third"), ("second", "ctxemb"), ("third", "second")):
            nlp.rename_pipe(old, new)
        loaded = reload(nlp, tmp_path)
    assert "W013" not in caplog.text
    for twin in (nlp, loaded):
        doc = twin("two words")
        np.testing.assert_array_equal(doc.tensor, expected.tensor)
        assert doc.cats == expected.cats
        assert twin.get_pipe("second").listening_components == ["textcat"]


def test_a_renamed_encoder_in_copies_and_processes(tmp_path: Path) -> None:
    nlp = with_reader(KINDS[2], "ctxemb")
    expected = scores(nlp)
    for old, new in (("ctxemb", "elmo"), ("elmo", "third"), ("textcat", "classifier")):
        nlp.rename_pipe(old, new)
    for twin in (copy.deepcopy(nlp), pickle.loads(pickle.dumps(nlp)), reload(nlp, tmp_path)):
        np.testing.assert_array_equal(scores(twin), expected)
    np.testing.assert_allclose(scores(nlp, n_process=2), expected, atol=1e-6)
    learn(nlp, exclude=["third"], annotates=["third"])
    assert not np.array_equal(scores(nlp), expected)


def test_a_renamed_encoder_as_bytes() -> None:
    nlp = with_reader(KINDS[0], "ctxemb")
    nlp.rename_pipe("ctxemb", "elmo")
    twin = load_model_from_config(nlp.config)
    twin.from_bytes(nlp.to_bytes())
    np.testing.assert_array_equal(scores(twin), scores(nlp))


@pytest.mark.parametrize("upstream", ["*", "ctxemb"])
@pytest.mark.parametrize("kind", KINDS)
def test_components_of_another_pipeline(kind: str, upstream: str, tmp_path: Path) -> None:
    source = with_reader(kind, upstream)
    expected = scores(source)
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", source=source, name="elmo")
    nlp.add_pipe("textcat", source=source, name="classifier")
    for twin in (nlp, reload(nlp, tmp_path)):
        np.testing.assert_array_equal(scores(twin), expected)
        assert twin.get_pipe("elmo").listening_components == ["classifier"]
    assert_trains(nlp, "elmo")
    np.testing.assert_array_equal(scores(reload(source, tmp_path / "source")), scores(source))


@pytest.mark.parametrize("upstream", ["*", "ctxemb"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_on_an_encoder_of_another_name(
    kind: str, upstream: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nlp, source = with_reader(kind, "*", "elmo"), with_reader(kind, upstream)
    source.get_pipe("ctxemb").model.from_bytes(nlp.get_pipe("elmo").model.to_bytes())
    expected = scores(source)
    with caplog.at_level(logging.WARNING, logger="spacy"):
        nlp.add_pipe("textcat", source=source, name="other")
    message = "[W013] 'other' has upstream = 'ctxemb', and reads from 'elmo' now"
    assert (message in caplog.text) == (upstream == "ctxemb")
    nlp.remove_pipe("textcat")
    for twin in (nlp, reload(nlp, tmp_path)):
        np.testing.assert_allclose(scores(twin), expected, atol=1e-6)
    assert_trains(nlp, "elmo")


@pytest.mark.parametrize("kind", KINDS)
def test_sourced_by_a_config_with_replaced_listeners(kind: str, tmp_path: Path) -> None:
    source = with_reader(kind, "ctxemb")
    source.rename_pipe("ctxemb", "elmo")
    source.to_disk(tmp_path)
    taken = {"source": str(tmp_path), "replace_listeners": ["model.tok2vec"]}
    config = {"nlp": {"lang": "en", "pipeline": ["textcat"]}, "components": {"textcat": taken}}
    nlp = load_model_from_config(config, auto_fill=True)
    np.testing.assert_allclose(scores(nlp), scores(source), atol=1e-6)
    components = {"new": {"source": str(tmp_path), "component": "elmo"}, "textcat": taken}
    del taken["replace_listeners"]
    config = {"nlp": {"lang": "en", "pipeline": list(components)}, "components": components}
    nlp = load_model_from_config(config, auto_fill=True)
    np.testing.assert_array_equal(scores(nlp), scores(source))


def test_a_damaged_file_of_names(tmp_path: Path) -> None:
    with_reader(KINDS[0], "*").to_disk(tmp_path)
    path = tmp_path / "ctxemb" / "cfg"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"\[E036\] .*ctxemb.cfg cannot be read: .*config\.cfg"):
        spacy.load(tmp_path)
    path.unlink()
    assert spacy.load(tmp_path)("two words").has_vector


DAMAGED = ["[1]", "null", "5", '"x"', "{", '{"former_names": [1]}', '{"former_names": null}']
DAMAGED += ['{"former_names": {"textcat": 5}}', '{"former_names": {"textcat": [1]}}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_file_of_names_that_holds_something_else(content: str, tmp_path: Path) -> None:
    pipe = blank().get_pipe("ctxemb")
    (tmp_path / "cfg").write_text(content)
    with pytest.raises(ValueError, match=r"\[E036\] .*cfg cannot be read: .*config\.cfg"):
        pipe.from_disk(tmp_path, exclude=["model"])
    assert pipe.cfg.get("former_names", {}) == {}


def test_a_folder_that_cannot_be_looked_into(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[E036\] .*cfg cannot be read: .*too long"):
        blank().get_pipe("ctxemb").from_disk(tmp_path / (300 * "x"))


def test_names_of_bytes_that_hold_something_else() -> None:
    pipe = blank().get_pipe("ctxemb")
    data = srsly.msgpack_dumps({"cfg": '{"former_names": [1]}'})
    with pytest.raises(ValueError, match=r"\[E036\] What was stored of 'ctxemb' cannot be read"):
        pipe.from_bytes(data, exclude=["model", "vocab"])


def test_a_file_of_names_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = blank().get_pipe("ctxemb")
    pipe.to_disk(tmp_path, exclude=["model"])
    before = (tmp_path / "cfg").read_text()

    def fail(path: Path, data: object) -> None:
        path.write_text("{")
        raise OSError("full")

    monkeypatch.setattr(srsly, "write_json", fail)
    with pytest.raises(OSError, match=r"\[E164\]"):
        pipe.to_disk(tmp_path, exclude=["model"])
    assert (tmp_path / "cfg").read_text() == before


def with_two_readers(first: str, second: str) -> Language:
    """Two encoders, each with a classifier directly behind it."""
    nlp = with_reader(KINDS[0], first)
    nlp.add_pipe("ctxemb", name="second", config={"model": BILM, "pretrained": None})
    config = reader(KINDS[0], second)
    nlp.add_pipe("textcat_multilabel", config={"model": config["model"]})
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    learn(nlp)
    return nlp


SWAP = [("ctxemb", "third"), ("second", "ctxemb"), ("third", "second")]
SUCCEED = [("second", "third"), ("ctxemb", "second")]


@pytest.mark.parametrize(("first", "renamed"), [("ctxemb", SWAP), ("*", SUCCEED)])
def test_two_encoders_that_take_names_of_each_other(
    first: str, renamed: list[tuple[str, str]], tmp_path: Path
) -> None:
    nlp = with_two_readers(first, "second")
    expected = scores(nlp)
    for old, new in renamed:
        nlp.rename_pipe(old, new)
    loaded = reload(nlp, tmp_path)
    twin = load_model_from_config(nlp.config)
    twin.from_bytes(nlp.to_bytes())
    for one in (nlp, loaded, reload(loaded, tmp_path), twin):
        np.testing.assert_array_equal(scores(one), expected)
        encoders = [one.get_pipe(name) for name in (one.pipe_names[0], one.pipe_names[2])]
        readers = [encoder.listening_components for encoder in encoders]
        assert readers == [["textcat"], ["textcat_multilabel"]]
    assert_trains(loaded, "second")


def test_a_reader_of_the_first_of_two_encoders() -> None:
    nlp = with_two_readers("ctxemb", "second")
    message = r"\[E022\] 'second' and 'ctxemb' both write doc\.tensor, and 'late' would read"
    with pytest.raises(ValueError, match=message):
        nlp.add_pipe("textcat", name="late", config=reader(KINDS[0], "ctxemb"))
    nlp.remove_pipe("late")
    nlp = load_model_from_config(nlp.config)
    nlp.add_pipe("textcat", name="late", config=reader(KINDS[0], "ctxemb"))
    with pytest.raises(ValueError, match=message):
        nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))


@pytest.mark.parametrize(
    "settings",
    [{"disable": ["elmo"]}, {"disable": ["textcat"]}, {"enable": ["textcat"]}, {"enable": "elmo"}],
)
def test_a_renamed_encoder_that_is_loaded_in_part(settings: dict[str, Any], tmp_path: Path) -> None:
    nlp = with_reader(KINDS[0], "ctxemb")
    expected = scores(nlp)
    nlp.rename_pipe("ctxemb", "elmo")
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, **settings)
    for name in loaded.disabled:
        loaded.enable_pipe(name)
    np.testing.assert_array_equal(scores(loaded), expected)


@pytest.mark.parametrize(
    ("disabled", "kind"), [("elmo", KINDS[0]), ("elmo", KINDS[2]), ("textcat", KINDS[1])]
)
def test_a_renamed_encoder_that_is_saved_disabled(disabled: str, kind: str, tmp_path: Path) -> None:
    nlp = with_reader(kind, "ctxemb")
    expected = scores(nlp)
    nlp.rename_pipe("ctxemb", "elmo")
    nlp.disable_pipe(disabled)
    loaded = reload(nlp, tmp_path)
    assert loaded.disabled == [disabled]
    loaded.enable_pipe(disabled)
    np.testing.assert_array_equal(scores(loaded), expected)


def test_one_encoder_under_two_names() -> None:
    source = with_reader(KINDS[0], "ctxemb")
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", source=source, name="x")
    nlp.add_pipe("textcat", source=source, name="one")
    nlp.add_pipe("ctxemb", source=source, name="y")
    with pytest.raises(ValueError, match=r"\[E022\] 'x' and 'y' both write.*'two' would read"):
        nlp.add_pipe("textcat", source=source, name="two")


def test_saving_where_a_tok2vec_of_that_name_was(tmp_path: Path) -> None:
    other = spacy.blank("en")
    other.add_pipe("tok2vec", name="ctxemb")
    other.initialize()
    other.to_disk(tmp_path)
    assert (tmp_path / "ctxemb" / "model").is_file()
    nlp = with_reader(KINDS[0], "ctxemb")
    np.testing.assert_array_equal(scores(reload(nlp, tmp_path)), scores(nlp))


def test_any_upstream_is_the_nearest() -> None:
    nlp = blank()
    nlp.add_pipe("ctxemb", name="second", config={"model": BILM})
    nlp.add_pipe("ner", config=ner_config(listener()))
    assert nlp.get_pipe("ctxemb").listening_components == []
    assert nlp.get_pipe("second").listening_components == ["ner"]
    nlp.remove_pipe("second")
    assert nlp.get_pipe("ctxemb").listening_components == ["ner"]
    nlp.add_pipe("ctxemb", name="second", config={"model": BILM}, before="ner")
    assert nlp.get_pipe("ctxemb").listening_components == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_misspelt_upstream(kind: str, tmp_path: Path) -> None:
    message = (
        r"\[E034\] 'textcat' has a listener with upstream = 'ctxmeb', but the component before it "
        r"that writes vectors is 'ctxemb'\. Set upstream to 'ctxemb'"
    )
    nlp = blank()
    nlp.add_pipe("textcat", config=reader(kind, "ctxmeb"))
    with pytest.raises(ValueError, match=message):
        nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    nlp.remove_pipe("textcat")
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    nlp.add_pipe("textcat", config=reader(kind, "ctxmeb"))
    with pytest.raises(ValueError, match=message):
        nlp.get_pipe("textcat").initialize(lambda: examples(nlp, TEXTCAT_DATA), nlp=nlp)
    for use in (nlp, reload(nlp, tmp_path)):
        with pytest.raises(ValueError, match=message):
            use("two words")
    nlp.remove_pipe("textcat")
    nlp.add_pipe("textcat", config=reader(kind, "ctxemb"))
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    learn(nlp)


def test_what_is_refused_can_be_removed_and_added_again() -> None:
    nlp = blank()
    with pytest.raises(ValueError, match=r"\[E020\].*remove it first: nlp.remove_pipe\('ner'\)"):
        nlp.add_pipe("ner", config=ner_config(listener(width=32)))
    nlp.remove_pipe("ner")
    with pytest.raises(ValueError, match=r"\[E032\].*remove it first: nlp.remove_pipe\('ner'\)"):
        nlp.add_pipe("ner", config=ner_config({**listener(width=32), "@architectures": KINDS[2]}))
    nlp.remove_pipe("ner")
    with pytest.raises(ValueError, match=r"\[E026\].*nlp.remove_pipe\('tok2vec'\)"):
        nlp.add_pipe("tok2vec")
    nlp.remove_pipe("tok2vec")
    nlp.add_pipe("ner", config=ner_config(listener()))
    assert nlp.get_pipe("ctxemb").listening_components == ["ner"]
    several = blank(stack({"a": inline_model(BILM), "b": inline_model(BILM)}))
    with pytest.raises(ValueError, match=r"\[E044\].*nlp.remove_pipe\('ner'\)"):
        several.add_pipe("ner", config=ner_config({**listener(), "@architectures": KINDS[2]}))
    several.remove_pipe("ner")


def test_an_encoder_that_is_disabled_in_training() -> None:
    nlp = with_reader(KINDS[0], "*")
    message = r"\[E025\].*'ctxemb' is disabled or excluded.*select_pipes\(enable=\['ctxemb', 'tex"
    with nlp.select_pipes(enable="textcat"), pytest.raises(ValueError, match=message):
        learn(nlp)
    with nlp.select_pipes(enable=["ctxemb", "textcat"]):
        learn(nlp)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_was_disabled_when_components_were_linked(kind: str, tmp_path: Path) -> None:
    """It does not learn alone, and learns with the encoder once it is linked as the error says."""
    with_reader(kind, "ctxemb").to_disk(tmp_path)
    loaded = spacy.load(tmp_path, disable=["textcat"])
    changed = spacy.load(tmp_path)
    with changed.select_pipes(disable="textcat"):
        changed.add_pipe("sentencizer", first=True)
    changed.remove_pipe("sentencizer")  # with which all are linked
    assert_trains(changed, "ctxemb")
    with changed.select_pipes(disable="textcat"):
        changed.add_pipe("sentencizer", first=True)
    message = (
        r"\[E037\] 'textcat' was disabled.*nlp.get_pipe\('ctxemb'\).find_listeners\("
        r"nlp.get_pipe\('textcat'\)\)"
    )
    for nlp in (loaded, changed):
        for name in nlp.disabled:
            nlp.enable_pipe(name)
        for settings in ({}, {"annotates": ["ctxemb"]}):
            with pytest.raises(ValueError, match=message):
                learn(nlp, **settings)
        nlp.get_pipe("ctxemb").find_listeners(nlp.get_pipe("textcat"))
        assert_trains(nlp, "ctxemb")


def test_an_encoder_that_is_excluded(tmp_path: Path) -> None:
    with_reader(KINDS[1], "ctxemb").to_disk(tmp_path)
    nlp = spacy.load(tmp_path, exclude=["ctxemb"])
    with pytest.raises(ValueError, match=r"\[E021\] 'a component' listens to 'ctxemb'.*excluded"):
        nlp("two words")


def test_the_default_model_in_another_language() -> None:
    nlp = spacy.blank("de")
    nlp.add_pipe("ctxemb")
    message = r"\[E008\].*\[E013\] pretrained of 'ctxemb' is \"auto\".*'de'.*'en_transformer_sm'"
    with pytest.raises(RuntimeError, match=message):
        nlp("zwei Wörter")
    nlp.remove_pipe("ctxemb")
    nlp.add_pipe("ctxemb", config={"pretrained": "en_transformer_sm"})
    assert nlp("zwei Wörter").has_vector
