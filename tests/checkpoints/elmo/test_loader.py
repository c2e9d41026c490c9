"""`spacy-ctxemb.ElmoWeights.v1`, which gives an encoder published weights."""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.util import registry

from spacy_ctxemb.checkpoints.elmo.checkpoint import read_elmo
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ...elmo_models import Files, write_json, write_model
from ...encoders.bilm_loop import Options
from ...pipelines import (
    NER_DATA,
    TRANSFORMER,
    blank,
    examples,
    listener,
    ner_config,
    textcat_config,
)

OPTIONS = Options(width=8, hidden_width=12, filters=((1, 4), (3, 6)), max_characters=20)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_model(tmp_path / "elmo", OPTIONS)


def fitting(files: Files, **changes: Any) -> dict[str, Any]:
    """The config of a model for the files."""
    encoder = {"@architectures": "spacy-ctxemb.BiLM.v1", **read_elmo(*files).settings, **changes}
    pieces = {
        "@architectures": "spacy-ctxemb.CharacterPieces.v1",
        "max_characters": encoder["max_characters"],
    }
    return {"encoder": encoder, "pieces": pieces}


def loader(options: Path, weights: Path | None) -> dict[str, Any]:
    return {
        "@misc": "spacy-ctxemb.ElmoWeights.v1",
        "options": str(options),
        "weights": weights and str(weights),
    }


def initialize(nlp: Language, options: Path, weights: Path | None) -> Language:
    settings = {"encoder_loader": loader(options, weights)}
    nlp.config["initialize"]["components"]["ctxemb"] = settings
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


def get_encoder(nlp: Language) -> torch.nn.Module:
    return get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder


def has_weights_of(files: Files, nlp: Language) -> bool:
    found, expected = get_encoder(nlp).state_dict(), read_elmo(*files).tensors
    return all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_encoder_gets_the_weights(files: Files) -> None:
    nlp = initialize(blank(fitting(files)), *files)
    assert has_weights_of(files, nlp)
    assert nlp("Ada lives here.").tensor.shape == (4, 16)


def test_mix_and_projection_get_initial_values(files: Files) -> None:
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1"}
    nlp = blank(fitting(files) | {"width": 5, "mix": mix})
    for _ in range(2):
        initialize(nlp, *files)
        embedder = get_shim(nlp.get_pipe("ctxemb").model).embedder
        assert not embedder.mix.weights.any()
        assert has_weights_of(files, nlp)
        assert embedder.projection is not None and embedder.projection.weight.any()
        assert nlp("Ada lives here.").tensor.shape == (4, 5)
        with torch.no_grad():  # as if trained
            for parameter in embedder.parameters():
                parameter += 1.0


def test_a_zip_file(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "22.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(files.options, "options.json")
        archive.write(files.weights, "model.hdf5")
    assert has_weights_of(files, initialize(blank(fitting(files)), path, None))


def test_every_setting_that_differs_is_named(files: Files) -> None:
    nlp = blank(fitting(files, hidden_width=9, cell_clip=None, max_characters=50))
    encoder, pieces = (rf"\[components\.ctxemb\.model\.{part}\]" for part in ("encoder", "pieces"))
    message = (
        rf"\[E360\] The model in {re.escape(str(files.options))} does not fit the config: "
        rf"{encoder} cell_clip is None, the model has 3\.0; "
        rf"{encoder} hidden_width is 9, the model has 12; "
        rf"{encoder} max_characters is 50, the model has 20; "
        rf"{pieces} max_characters is 50, the model has 20\. .* import elmo"
    )
    with pytest.raises(ValueError, match=message):
        initialize(nlp, *files)
    assert not get_shim(nlp.get_pipe("ctxemb").model).is_materialised


def test_another_encoder(files: Files) -> None:
    message = r"\[E360\] .*model\.encoder\] has a TransformerEncoder where .*BiLM is needed"
    with pytest.raises(ValueError, match=message):
        initialize(blank(TRANSFORMER), *files)


def test_a_failure_leaves_the_old_weights(files: Files) -> None:
    nlp = initialize(blank(fitting(files)), *files)
    write_json(files.options, {})
    with pytest.raises(ValueError, match=r"\[E303\]"):
        initialize(nlp, *files)
    assert nlp("Ada lives here.").tensor.any()


def test_building_it_reads_nothing() -> None:
    build = registry.misc.get("spacy-ctxemb.ElmoWeights.v1")
    assert callable(build(options="nothing.json", weights="nothing.hdf5"))


def train_ner(tmp_path: Path, component: dict[str, Any], **settings: Any) -> Language:
    """`spacy train` for a few steps. settings: of [initialize] and [training]."""
    nlp = spacy.blank("en")
    DocBin(docs=[eg.reference for eg in examples(nlp, NER_DATA)]).to_disk(tmp_path / "a.spacy")
    nlp.add_pipe("ner", config=ner_config(listener()))
    config = nlp.config.copy()
    config["nlp"]["pipeline"] = ["ctxemb", "ner"]
    config["components"]["ctxemb"] = component
    config["paths"].update({"train": str(tmp_path / "a.spacy"), "dev": str(tmp_path / "a.spacy")})
    config["training"].update({"max_steps": 2, "eval_frequency": 1, "patience": 0})
    for section, changes in settings.items():
        config[section].update(changes)
    config.to_disk(tmp_path / "config.cfg")
    train(tmp_path / "config.cfg", tmp_path / "trained")
    return spacy.load(tmp_path / "trained" / "model-last")


def model_config(files: Files) -> dict[str, Any]:
    return {
        "@architectures": "spacy-ctxemb.ContextualTok2Vec.v1",
        "mix": {"@architectures": "spacy-ctxemb.ScalarMix.v1"},
        **fitting(files),
    }


def test_training_with_the_loader_changes_the_weights(files: Files, tmp_path: Path) -> None:
    component = {"factory": "ctxemb", "model": model_config(files)}
    components = {"ctxemb": {"encoder_loader": loader(*files)}}
    nlp = train_ner(tmp_path, component, initialize={"components": components})
    found, expected = get_encoder(nlp).state_dict(), read_elmo(*files).tensors
    changes = [(found[name] - expected[name]).abs().max().item() for name in expected]
    assert 0 < max(changes) < 0.1


def test_a_frozen_encoder_comes_from_an_imported_pipeline(files: Files, tmp_path: Path) -> None:
    imported = initialize(blank(fitting(files)), *files)
    imported.to_disk(tmp_path / "imported")
    frozen = {"frozen_components": ["ctxemb"], "annotating_components": ["ctxemb"]}
    nlp = train_ner(tmp_path, {"source": str(tmp_path / "imported")}, training=frozen)
    assert has_weights_of(files, nlp)
    text = "Ada Lovelace lives in Oslo."
    assert np.array_equal(nlp(text).tensor, imported(text).tensor)


def test_a_frozen_encoder_is_not_initialised_by_spacy(files: Files, tmp_path: Path) -> None:
    component = {"factory": "ctxemb", "model": model_config(files)}
    components = {"ctxemb": {"encoder_loader": loader(*files)}}
    frozen = {"frozen_components": ["ctxemb"], "annotating_components": ["ctxemb"]}
    with pytest.raises(RuntimeError, match=r"\[E008\] .*`source` instead of `factory`"):
        train_ner(tmp_path, component, initialize={"components": components}, training=frozen)


def test_a_task_gets_its_own_copy(files: Files) -> None:
    nlp = blank(fitting(files))
    nlp.add_pipe("textcat", config=textcat_config(listener()))
    nlp.get_pipe("textcat").add_label("a")
    nlp.get_pipe("textcat").add_label("b")
    initialize(nlp, *files)
    nlp.replace_listeners("ctxemb", "textcat", ["model.tok2vec"])
    nlp.remove_pipe("ctxemb")
    assert set(nlp("Ada lives here.").cats) == {"a", "b"}
