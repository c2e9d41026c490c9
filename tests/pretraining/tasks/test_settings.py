"""What objectives refuse before any text is read."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from thinc.api import Config

from spacy_ctxemb.encoders import TransformerEncoder
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pretraining import run_from_config as run
from spacy_ctxemb.pretraining.build_pipeline_and_task import build_pipeline, get_shim
from spacy_ctxemb.pretraining.pretrain_section import read_settings
from spacy_ctxemb.pretraining.run_from_config import pretrain
from spacy_ctxemb.pretraining.tasks.bilm.task import PretrainBiLM
from spacy_ctxemb.pretraining.tasks.masked_lm.task import PretrainMaskedLM

from ...cli.command import run as command
from ..runs import tiny_masked_lm_run, tiny_run, write_documents


@pytest.mark.parametrize(
    ("name", "least"),
    [
        *[("n_rows", 1), ("n_steps", 1), ("vocab_size", 4), ("min_count", 1)],
        *[("n_samples", 1), ("max_sentences", 1)],
    ],
)
def test_settings_of_bilms_are_checked(name: str, least: int) -> None:
    settings: dict[str, Any] = {name: least - 1}
    message = rf"E401\] {name} is {least - 1}, but must be at least {least}\."
    with pytest.raises(ValueError, match=message):
        PretrainBiLM(**settings)
    PretrainBiLM(**{name: least})


@pytest.mark.parametrize(("name", "least"), [("batch_size", 1), ("max_pieces", 8)])
def test_settings_of_masked_lms_are_checked(name: str, least: int) -> None:
    settings: dict[str, Any] = {name: least - 1}
    with pytest.raises(ValueError, match=rf"E401\] {name} is {least - 1}, .* least {least}\."):
        PretrainMaskedLM(**settings)


def refuse(config: Config, output: Path, message: str) -> None:
    """A run must end with an error before it tokenises its text."""
    with pytest.raises((ValueError, ImportError), match=message):
        pretrain(config, output, resume=False)
    assert not (output / "text").exists()


def test_the_encoder_is_checked_first(tmp_path: Path) -> None:
    text = write_documents(tmp_path)
    refuse(tiny_run(text, pretrain__objective__n_rows=0), tmp_path, "E401.*n_rows is 0")
    config = tiny_run(text)
    config["pretrain"]["objective"] = {"@misc": "spacy-ctxemb.PretrainMaskedLM.v1"}
    refuse(config, tmp_path, "E430.*PretrainMaskedLM needs .* Transformer, .* has BiLM")
    config = tiny_masked_lm_run(text, pretrain__objective__max_pieces=64)
    refuse(config, tmp_path, r"E413\] max_pieces is 64, but must be from 8 to 32")


def test_loggers_are_looked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    text = write_documents(tmp_path)
    refuse(tiny_run(text, pretrain__tensorboard=True), tmp_path, "E457.*asks for tensorboard")
    refuse(tiny_run(text, pretrain__wandb_project="a"), tmp_path, "E457.*asks for wandb")


def test_checks_draw_no_random_numbers(tmp_path: Path) -> None:
    """So that weights are the same as without them."""
    config = tiny_masked_lm_run(write_documents(tmp_path)).interpolate()
    settings = read_settings(config)
    shim = get_shim(build_pipeline(config, settings), settings)
    encoder = shim.embedder.encoder
    assert isinstance(encoder, TransformerEncoder)
    before = torch.get_rng_state()
    settings.objective.validate(encoder, shim.pieces)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="E430.*PretrainBiLM needs .* BiLM, .* Transformer"):
        PretrainBiLM().validate(encoder, CharacterPieces(12))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("eval_every=many", "E465.*eval_every.*'many'.*a whole number"),
        ("eval_every=2.5", "E465.*eval_every.*2.5.*a whole number"),
        ("grad_clip=true", "E465.*grad_clip.*a number"),
        ("compile=1", "E465.*compile.*true or false"),
        ("component=5", "E465.*component.*text"),
        ("seed=-1", "E465.*seed.*at least 0"),
        ("objective.n_rows=many", "n_rows"),
    ],
)
def test_values_of_another_type_are_refused(setting: str, message: str, tmp_path: Path) -> None:
    """By the command, without a traceback."""
    tiny_run(write_documents(tmp_path)).to_disk(tmp_path / "pretrain.cfg")
    name, value = setting.split("=")
    options = [f"--pretrain.{name}", value]
    code, shown = command("pretrain", tmp_path / "pretrain.cfg", tmp_path / "run", *options)
    assert code == 1 and re.search(message, shown), shown
    assert not (tmp_path / "run").exists()
