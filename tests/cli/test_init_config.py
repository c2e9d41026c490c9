"""`python -m spacy ctxemb init-config`"""

from pathlib import Path

import pytest
import spacy
from thinc.api import Config

from ..bert_models import FAMILIES
from ..pipelines import BILM, initialised
from .command import run, run_well


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.cfg"
    output = run_well("init-config", "--task", "ner,senter", "--encoder", "bilm", path)
    assert "Wrote a config for ner, senter on bilm, fine-tuned" in output
    assert "begins with random weights" in output and "pass --encoder english" in output
    assert f"python -m spacy train {path} --output training" in output
    config = Config().from_disk(path)
    assert config["nlp"]["pipeline"] == ["ctxemb", "ner", "senter"]


def test_stdout(tmp_path: Path) -> None:
    """Nothing but the config, the same as in a file."""
    from typer.testing import CliRunner

    from spacy_ctxemb.cli import ctxemb_cli

    result = CliRunner().invoke(ctxemb_cli, ["init-config", "--task", "tagger", "-"])
    run_well("init-config", "--task", "tagger", tmp_path / "out.cfg")
    assert result.output.strip() == (tmp_path / "out.cfg").read_text().strip()
    components = Config().from_str(result.output)["components"]
    assert components["tagger"]["factory"] == "tagger"
    assert components["ctxemb"]["pretrained"] == "en_transformer_sm"


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    path = tmp_path / "out.cfg"
    path.write_text("precious")
    code, output = run("init-config", path)
    assert code == 1 and f"[E510] {path} exists already. Pass --force" in output.replace("\n", "")
    assert path.read_text() == "precious"
    run_well("init-config", path, "--force")
    assert path.read_text().startswith("[paths]")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, output = run("init-config", tmp_path / "file" / "out.cfg")
    assert code == 1 and output.count("[E") == 1 and "file" in output


def test_what_a_frozen_new_encoder_needs(tmp_path: Path) -> None:
    output = run_well("init-config", "--encoder", "bilm", "--freeze", tmp_path / "out.cfg")
    assert "[W009] A frozen encoder is not initialised" in output
    assert "--paths.init_tok2vec WEIGHTS.bin" in output
    initialised().to_disk(tmp_path / "pipeline")
    arguments = ["--encoder", tmp_path / "pipeline", "--freeze", "--gpu", tmp_path / "other.cfg"]
    output = run_well("init-config", *arguments)
    assert "W009" not in output and "init_tok2vec" not in output and "--gpu-id 0" in output


def test_why_there_is_no_cache(tmp_path: Path) -> None:
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "batch"}
    initialised({**BILM, "mix": mix}).to_disk(tmp_path / "pipeline")
    arguments = ["--encoder", tmp_path / "pipeline", "--freeze", tmp_path / "out.cfg"]
    output = run_well("init-config", *arguments)
    assert '[W008] The config has no cache, since with stateful or layer_norm = "batch"' in output


@pytest.mark.parametrize(
    "task, message",
    [
        ("ner,nerd", "[E500] There is no task ['nerd']. Choose among ner, textcat,"),
        ("", "[E500] There is no task ['']."),
        ("ner, ner", "[E501] The tasks ['ner'] cannot share a pipeline"),
        ("textcat,textcat_multilabel", "[E501] The tasks ['textcat', 'textcat_multilabel']"),
    ],
)
def test_tasks_that_cannot_be(task: str, message: str, tmp_path: Path) -> None:
    code, output = run("init-config", "--task", task, tmp_path / "out.cfg")
    assert code == 1 and message in output
    assert not (tmp_path / "out.cfg").exists()


def test_a_cache_for_what_learns(tmp_path: Path) -> None:
    code, output = run("init-config", "--cache", tmp_path / "out.cfg")
    assert code == 1 and "[E503] A cache is for a frozen encoder" in output


def fail(encoder: Path, folder: Path) -> str:
    code, output = run("init-config", "--encoder", encoder, folder / "out.cfg")
    assert code == 1 and not (folder / "out.cfg").exists()
    return output.replace(" ", "")  # paths are wrapped anywhere


def test_published_models_are_to_be_imported_first(tmp_path: Path) -> None:
    bert = FAMILIES / "bert"
    command = f"python -m spacy ctxemb import bert {bert} bert-pipeline, and pass --encoder"
    assert f"[E505]{bert}isamodel" in fail(bert, tmp_path)
    assert command.replace(" ", "") in fail(bert, tmp_path)
    (tmp_path / "elmo").mkdir()
    files = [tmp_path / "elmo" / name for name in ("elmo_options.json", "elmo_weights.hdf5")]
    for file in files:
        file.touch()
    command = f"python -m spacy ctxemb import elmo {files[0]} {files[1]} elmo-pipeline"
    output = fail(tmp_path / "elmo", tmp_path)
    assert "[E506]" in output and command.replace(" ", "") in output
    (tmp_path / "22.zip").touch()
    assert "[E506]" in fail(tmp_path / "22.zip", tmp_path)


def test_paths_without_an_encoder(tmp_path: Path) -> None:
    assert "[E504]Theencoder'elmo'isneitherenglish,minilm," in fail(Path("elmo"), tmp_path)
    assert "[E504]" in fail(tmp_path, tmp_path)
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "plain")
    assert "[E507]Ofthecomponents['sentencizer']of" in fail(tmp_path / "plain", tmp_path)
    for name in ("one", "two"):
        nlp.add_pipe("ctxemb", name=name, config={"model": BILM})
    nlp.to_disk(tmp_path / "several")
    assert "thoseofthefactoryctxembare['one','two']" in fail(tmp_path / "several", tmp_path)


def test_few_labels(tmp_path: Path) -> None:
    output = run_well("init-config", "--task", "textcat", "--few", tmp_path / "out.cfg")
    assert "Wrote a config for textcat on english, fitted first, frozen" in output
    config = Config().from_disk(tmp_path / "out.cfg")
    assert config["initialize"]["components"]["textcat"] == {"fit": True}
    code, output = run("init-config", "--task", "ner", "--few", tmp_path / "other.cfg")
    assert code == 1 and "[E645] --few fits heads of textcat" in output
