"""`python -m spacy ctxemb import elmo` and `export elmo`"""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb.checkpoints.elmo.checkpoint import read_elmo
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..elmo_models import Files, to_json, write_json, write_model
from ..encoders.bilm_loop import Options, run_sentence
from ..encoders.published_weights import draw_weights, find_fixture, read_hdf5
from ..pipelines import BILM, TRANSFORMER, blank, initialised, inline_model, ner_config
from .command import run, run_well

OPTIONS = Options(max_characters=50)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_model(tmp_path / "elmo", OPTIONS)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_pipeline_gives_the_models_vectors(files: Files, tmp_path: Path) -> None:
    output = run_well("import", "elmo", *files, tmp_path / "new" / "pipeline")
    assert "biLM of 2 LSTM layers, width 10, 0.0M parameters" in output
    assert "mixed evenly until training" in output
    assert names_in(tmp_path / "new") == {"pipeline"}
    files.options.unlink()
    files.weights.unlink()
    nlp = spacy.load(tmp_path / "new" / "pipeline")
    assert nlp.pipe_names == ["ctxemb"] and nlp.lang == "en"
    model = nlp.config["components"]["ctxemb"]["model"]
    assert (model["window"], model["stride"], model["split_sentences"]) == (512, 384, True)
    assert model["width"] is None
    doc = nlp("A naïve word.")
    pieces = get_shim(nlp.get_pipe("ctxemb").model).pieces
    begin, end = pieces.boundaries
    ids = np.concatenate([begin[None], pieces.encode_words([t.text for t in doc]), end[None]])
    layers = run_sentence(ids, draw_weights(OPTIONS), OPTIONS)
    np.testing.assert_allclose(doc.tensor, np.mean(layers, axis=0)[1:-1], rtol=1e-5, atol=1e-5)


def test_a_projection_is_random(files: Files, tmp_path: Path) -> None:
    output = run_well("import", "elmo", *files, tmp_path / "out", "--width", "3")
    assert "The projection to width 3 is random until it is trained" in output
    assert spacy.load(tmp_path / "out")("two words").tensor.shape == (2, 3)
    assert "is random" not in run_well("import", "elmo", *files, tmp_path / "b", "--width", "10")


def test_tokens_to_add(files: Files, tmp_path: Path) -> None:
    run_well("import", "elmo", *files, tmp_path / "out", "--tokens-to-add", '{"<num>": 7}')
    nlp = spacy.load(tmp_path / "out")
    doc = nlp.get_pipe("ctxemb")(Doc(nlp.vocab, ["<num>"]))
    raw = nlp.get_pipe("ctxemb")(Doc(nlp.vocab, ["\x07"]))
    np.testing.assert_allclose(doc.tensor, raw.tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "text", ["{", 99_999 * "[", 5000 * "1", "[1]", '{"<num>": "1"}'], ids=lambda text: text[:9]
)
def test_tokens_to_add_that_are_none(files: Files, tmp_path: Path, text: str) -> None:
    code, output = run("import", "elmo", *files, tmp_path / "out", "--tokens-to-add", text)
    assert code == 2 and "--tokens-to-add" in output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layers, width", [("average", 10), ("top", 10), ("all", 30)])
def test_which_layers(files: Files, tmp_path: Path, layers: str, width: int) -> None:
    output = run_well("import", "elmo", *files, tmp_path / "out", "--layers", layers)
    assert ("mixed evenly" in output) == (layers == "average")
    nlp = spacy.load(tmp_path / "out", config={"components": {"ctxemb": {"keep": "layers"}}})
    doc = nlp("two words")
    expected = {
        "average": doc._.ctxemb.mean(axis=0),
        "top": doc._.ctxemb[-1],
        "all": np.concatenate(list(doc._.ctxemb), axis=1),
    }
    assert doc.tensor.shape == (2, width)
    np.testing.assert_allclose(doc.tensor, expected[layers], rtol=1e-5, atol=1e-6)


def test_an_export_writes_over_nothing(files: Files, tmp_path: Path) -> None:
    run_well("import", "elmo", *files, tmp_path / "out")
    before = files.weights.read_bytes()
    code, output = run("export", "elmo", tmp_path / "out", files.weights.parent)
    assert code == 1 and "[E362]" in output and "options.json exists already" in output
    assert files.weights.read_bytes() == before


def test_another_language(files: Files, tmp_path: Path) -> None:
    run_well("import", "elmo", *files, tmp_path / "out", "--lang", "pt")
    assert spacy.load(tmp_path / "out").lang == "pt"
    code, output = run("import", "elmo", *files, tmp_path / "b", "--lang", "xyz")
    assert code == 1 and "[E048]" in output and "xyz" in output
    assert names_in(tmp_path) == {"elmo", "out"}


def test_a_zip_file(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "22.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(files.options, "22/options.json")
        archive.write(files.weights, "22/model.hdf5")
    run_well("import", "elmo", path, tmp_path / "out")
    assert spacy.load(tmp_path / "out")("two words").tensor.any()


def test_what_training_writes_is_warned_of(files: Files, tmp_path: Path) -> None:
    data = to_json(OPTIONS)
    data["char_cnn"]["n_characters"] = 261
    write_json(files.options, data)
    output = run_well("import", "elmo", *files, tmp_path / "out")
    assert "[W010]" in output and "n_characters is 261" in output


def test_nothing_is_replaced(files: Files, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "config.cfg").write_text("[nlp]")
    (project / "train.spacy").write_bytes(b"precious")
    code, text = run("import", "elmo", *files, project)
    assert code == 1 and "[E362]" in text and "exists already, and is not replaced" in text
    assert names_in(project) == {"config.cfg", "train.spacy"}

    empty = tmp_path / "empty"
    empty.mkdir()
    run_well("import", "elmo", *files, empty)
    assert spacy.load(empty)("word").tensor.shape == (1, 10)
    assert names_in(tmp_path) == {"elmo", "empty", "project"}

    folder = tmp_path / "elmo"
    code, text = run("import", "elmo", *files, folder)
    assert code == 1 and "[E362]" in text
    code, text = run("import", "elmo", *files, files.options)
    assert code == 1 and "[E362]" in text
    assert names_in(folder) == {"options.json", "weights.hdf5"}


def test_errors_are_messages(files: Files, tmp_path: Path) -> None:
    files.weights.write_bytes(files.weights.read_bytes()[:-100])
    code, output = run("import", "elmo", *files, tmp_path / "out")
    assert code == 1
    assert "[E305]" in output and "cannot be read as an HDF5 file" in output
    code, output = run("import", "elmo", files.options, tmp_path / "out")
    assert code == 1 and "[E304]" in output and "the weights are missing" in output
    assert names_in(tmp_path) == {"elmo"}


@pytest.mark.parametrize("n", [1, 4])
def test_another_number_of_paths(n: int) -> None:
    code, output = run("import", "elmo", *n * ["path"])
    assert code == 2 and "Pass OPTIONS WEIGHTS OUTPUT, or MODEL OUTPUT." in output


def test_an_interrupted_write_leaves_nothing(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk = Language.to_disk

    def fail(self: Language, path: Path) -> None:
        to_disk(self, path)
        raise OSError("disk full")

    monkeypatch.setattr(Language, "to_disk", fail)
    code, output = run("import", "elmo", *files, tmp_path / "out")
    assert code == 1 and "[E164]" in output and "out cannot be written: disk full" in output
    assert names_in(tmp_path) == {"elmo"}


def test_a_zip_file_beyond_the_limit(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "22.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(files.options, "options.json")
        archive.write(files.weights, "model.hdf5")
    code, output = run("import", "elmo", path, tmp_path / "out", "--unpack-limit", "0.00001")
    assert code == 1 and "[E315]" in output and "more than the limit of 0.0 MB" in output
    run_well("import", "elmo", path, tmp_path / "out", "--unpack-limit", "0.1")


def test_published_files_go_in_and_out(tmp_path: Path) -> None:
    folder = find_fixture(".")
    original = folder / "lm_weights.hdf5"
    run_well("import", "elmo", folder / "options.json", original, tmp_path / "pipeline")
    output = run_well("export", "elmo", tmp_path / "pipeline", tmp_path / "out")
    assert "AllenNLP can load them" in output and "bilm-tf can load them" in output
    assert "Layer mix, projection and tokens_to_add are not part of the format." in output
    before, after = read_hdf5(original), read_hdf5(tmp_path / "out" / "weights.hdf5")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_who_cannot_read_the_files_is_told(tmp_path: Path) -> None:
    initialised(BILM | {"encoder": BILM["encoder"] | {"skip_connections": False}}).to_disk(
        tmp_path / "pipeline"
    )
    output = run_well("export", "elmo", tmp_path / "pipeline", tmp_path / "out")
    assert "AllenNLP cannot load them: skip_connections is false" in output
    assert "bilm-tf can load them" in output
    options = json.loads((tmp_path / "out" / "options.json").read_text())
    assert options["lstm"]["use_skip_connections"] is False


def test_an_encoder_inside_another_component(tmp_path: Path) -> None:
    nlp = initialised()
    nlp.add_pipe("ner", config=ner_config(inline_model(BILM)))
    nlp.get_pipe("ner").add_label("PERSON")
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    code, output = run("export", "elmo", tmp_path / "pipeline", tmp_path / "out")
    assert code == 1
    assert "[E361] Of the components ['ctxemb', 'ner'] those with a biLM are ['ctxemb'," in output
    assert not (tmp_path / "out").exists()
    run_well("export", "elmo", tmp_path / "pipeline", tmp_path / "out", "--component", "ner")
    tensors = read_elmo(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5")[1]
    (shim,) = (s for node in nlp.get_pipe("ner").model.walk() for s in node.shims if s)
    expected = shim.embedder.encoder.state_dict()
    assert all(torch.equal(tensors[name], expected[name]) for name in tensors)


def test_no_bilm(tmp_path: Path) -> None:
    initialised(TRANSFORMER).to_disk(tmp_path / "pipeline")
    code, output = run("export", "elmo", tmp_path / "pipeline", tmp_path / "out")
    assert code == 1 and "those with a biLM are []" in output


def test_a_pipeline_without_weights(tmp_path: Path) -> None:
    blank().to_disk(tmp_path / "pipeline")
    code, output = run("export", "elmo", tmp_path / "pipeline", tmp_path / "out")
    assert code == 1 and "[E008]" in output


def test_no_pipeline(tmp_path: Path) -> None:
    code, output = run("export", "elmo", tmp_path / "nothing", tmp_path / "out")
    assert code == 1 and "[E050]" in output
