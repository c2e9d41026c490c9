"""`python -m spacy ctxemb pretrain` as people run it: in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.util import load_config

from ..cli.command import run_well
from .runs import read_weights, tiny_masked_lm_run, tiny_run, write_documents


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    path = folder / "pretrain.cfg"
    tiny_run(write_documents(folder, n_documents=40)).to_disk(path)
    return path


def command(config: Path, output: Path, *arguments: str, n_processes: int = 1) -> list[str]:
    launcher = [sys.executable, "-W", "ignore"]
    if n_processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        launcher += [str(n_processes)]
    return [*launcher, "-m", "spacy", "ctxemb", "pretrain", str(config), str(output), *arguments]


def run(*arguments: Any, **settings: Any) -> str:
    done = subprocess.run(
        command(*arguments, **settings),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_losses(output: Path) -> dict[int, dict[str, float]]:
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["losses"] for row in rows}


@pytest.mark.parametrize(
    ("objective", "parallel"),
    [
        ("bilm", "ddp"),
        ("masked_lm", "fsdp"),
        pytest.param("bilm", "fsdp", marks=pytest.mark.slow),
    ],
)
def test_two_processes_learn_as_one_that_accumulates(
    config: Path, tmp_path: Path, objective: str, parallel: str
) -> None:
    if objective == "masked_lm":
        config = tmp_path / "pretrain.cfg"
        text = write_documents(tmp_path, n_documents=40)
        tiny_masked_lm_run(text, pretrain__max_steps=6).to_disk(config)
    settings = ["--pretrain.eval_every", "1"]
    run(config, tmp_path / "one", *settings, "--pretrain.accumulate", "2")
    run(config, tmp_path / "two", *settings, "--pretrain.parallel", parallel, n_processes=2)
    one, two = read_losses(tmp_path / "one"), read_losses(tmp_path / "two")
    assert list(one) == list(two) == list(range(1, 7))
    for step, losses in one.items():
        assert two[step] == pytest.approx(losses, rel=1e-5)
    for name, value in read_weights(tmp_path / "one").items():
        torch.testing.assert_close(
            read_weights(tmp_path / "two")[name], value, rtol=1e-4, atol=1e-5
        )


def test_a_killed_run_goes_on(config: Path, tmp_path: Path) -> None:
    settings = ["--pretrain.max_steps", "60", "--pretrain.checkpoint_every", "5"]
    run(config, tmp_path / "whole", *settings)
    output = tmp_path / "killed"
    process = subprocess.Popen(
        command(config, output, *settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 200
    while len(list(output.glob("checkpoints/step-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    shown = run(config, output, *settings, "--resume")
    assert "resumed after step" in shown
    for name, value in read_weights(tmp_path / "whole").items():
        assert torch.equal(read_weights(output)[name], value), name


def test_weights_reach_pipelines(config: Path, tmp_path: Path) -> None:
    output, pipeline = tmp_path / "run", tmp_path / "pipeline"
    shown = run(
        *(config, output, "--to-pipeline", str(pipeline), "--pretrain.neighbours", '["bank"]')
    )
    assert "[bank]" in shown and "~" in shown  # a word in context, and its neighbours
    nlp = spacy.load(pipeline)
    doc = nlp("She stood on the steep bank.")
    assert doc.tensor.shape == (7, 16)
    loaded = dict(nlp.get_pipe("ctxemb").model.shims[0].embedder.encoder.state_dict())
    for name, value in read_weights(output).items():
        assert torch.equal(loaded[name], value)
    assert load_config(output / "config.cfg")["pretrain"]["max_steps"] == 6


def test_its_weights_are_scored(config: Path, tmp_path: Path) -> None:
    output, scores = tmp_path / "run", tmp_path / "scores.json"
    run(config, output)
    text = load_config(config).interpolate()["paths"]["held_out"]
    weights = output / "model-last.bin"
    run_well("perplexity", output / "config.cfg", weights, text, "--output", scores)
    found = json.loads(scores.read_text())["perplexity"]
    assert found.keys() == {"forward", "backward", "mean"} and found["mean"] > 1


def test_errors_are_messages(config: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(config, tmp_path, "--pretrain.objective.n_rows", "2", "--pretrain.precison", "x"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "[E203] [pretrain] has unknown settings ['precison'], and lacks []" in done.stdout
