"""project.yml: what it names exists, and `spacy project run all` makes a report from nothing."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import srsly
import typer
from safetensors.numpy import load_file
from spacy.cli._util import app
from typer.main import get_command
from weasel.util import load_project_config

import spacy_ctxemb.cli  # noqa: F401 (adds its commands to spaCy's)
from spacy_ctxemb.pretrained import make

from .benchmarks import accuracy
from .pretraining import read_bin

ROOT = Path(__file__).parents[1]

#: A run as short as it can be.
SHORT = {
    "text_words": "3000",
    "pretrain_epochs": "1",
    "frozen_steps": "4",
    "finetuned_steps": "4",
    "eval_frequency": "2",
}

PROJECT = load_project_config(ROOT)
COMMANDS = {command["name"]: command for command in PROJECT["commands"]}
WORKFLOWS = PROJECT["workflows"]


def find_command(words):
    """The command that words name, and the words that follow."""
    assert words[:2] == ["python", "-m"]
    scripts = {
        "tests.benchmarks.accuracy": accuracy.main,
        "spacy_ctxemb.pretrained.make": make.make,
    }
    if words[2] in scripts:
        script = typer.Typer()
        script.command()(scripts[words[2]])
        return get_command(script), words[3:]
    assert words[2] == "spacy"
    command, words = get_command(app), words[3:]
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"no command {words[0]!r} of {command.name!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def scripts(command):
    """The lines of a command's script, in words."""
    return [shlex.split(line) for line in command["script"]]


def contains(folder, path):
    return path == folder or path.startswith(f"{folder}/")


# What project.yml names


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_runs_a_command_with_options_it_has(name):
    for words in scripts(COMMANDS[name]):
        if words[:2] == ["python", "-c"]:
            compile(words[2], name, "exec")
            continue
        command, rest = find_command(words)
        known = {option for parameter in command.params for option in parameter.opts}
        used = [word.partition("=")[0] for word in rest if word.startswith("--")]
        # Names with a dot are settings of a config.
        assert [word for word in used if word not in known and "." not in word] == []
        if command.name not in ("train", "pretrain"):
            assert [word for word in used if "." in word] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_dependency_exists_or_was_made_before(name):
    names = list(COMMANDS)
    made = [
        path
        for earlier in names[: names.index(name)]
        for key in ("outputs", "outputs_no_cache")
        for path in COMMANDS[earlier].get(key, [])
    ]
    for path in COMMANDS[name].get("deps", []):
        is_made = any(contains(path, other) or contains(other, path) for other in made)
        is_downloaded = contains(PROJECT["vars"]["real_data"], path)
        assert is_made or is_downloaded or (ROOT / path).exists(), path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_changed_config_is_noticed(name):
    """A command runs again once one of its dependencies has changed."""
    command = COMMANDS[name]
    used = {word for words in scripts(command) for word in words if word.startswith("configs/")}
    assert used <= set(command.get("deps", []))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_step_of_a_workflow_is_a_command(name):
    assert set(WORKFLOWS[name]) <= COMMANDS.keys()
    assert len(WORKFLOWS[name]) == len(set(WORKFLOWS[name]))


def test_variables_are_declared_and_used():
    text = (ROOT / "project.yml").read_text(encoding="utf8")
    assert set(re.findall(r"\$\{vars\.(\w+)\}", text)) == PROJECT["vars"].keys()
    assert SHORT.keys() <= PROJECT["vars"].keys()


def test_variables_of_the_readme_are_declared():
    text = "\n".join(path.read_text(encoding="utf8") for path in ROOT.glob("*.md"))
    assert set(re.findall(r"--vars\.(\w+)", text)) <= PROJECT["vars"].keys()


def test_every_command_has_a_description():
    assert all(len(command["help"]) > 20 for command in COMMANDS.values())


# A run


def run_all(directory):
    """`spacy project run all`; returns what it prints."""
    options = [word for name, value in SHORT.items() for word in (f"--vars.{name}", value)]
    command = [sys.executable, "-m", "spacy", "project", "run", "all", ".", *options]
    # Tiny models gain nothing from threads, which wait for each other on a busy machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = finished.stdout.decode("utf8", "replace")
    assert finished.returncode == 0, output[-5000:]
    return output


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy of the project after `run all`."""
    directory = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "project.yml", directory)
    for name in ("configs", "tests/corpus"):
        shutil.copytree(ROOT / name, directory / name)
    run_all(directory)
    return directory


HOW = ("frozen", "finetuned")
ENCODERS = ["hashembedcnn", *(f"{e}_{how}" for e in ("bilm", "transformer") for how in HOW)]
RUNS = {f"{task}_{encoder}" for task in ("ner", "textcat") for encoder in ENCODERS}


def test_the_report_names_every_run(finished):
    assert len(RUNS) == 10
    markdown = (finished / "metrics" / "report.md").read_text(encoding="utf8")
    html = (finished / "metrics" / "report.html").read_text(encoding="utf8")
    for task in ("ner", "textcat"):
        (rows,) = re.findall(rf"\n## {task}: scores\n(.*?)\n## ", markdown, re.DOTALL)
        assert sorted(ENCODERS) == re.findall(r"\n\| (\w+) \| [\d*]", rows)
        (rows,) = re.findall(rf'<h2 id="{task}-scores">(.*?)</section>', html, re.DOTALL)
        assert sorted(ENCODERS) == re.findall(r'<th scope="row">(\w+)</th>', rows)


def test_every_run_has_scores_and_a_log(finished):
    metrics = {path.stem: srsly.read_json(path) for path in (finished / "metrics").glob("*.json")}
    assert metrics.keys() == {*RUNS, "perplexity_bilm", "perplexity_transformer"}
    for run in RUNS:
        assert ("ents_f" if run.startswith("ner") else "cats_score") in metrics[run]
        log = srsly.read_jsonl(finished / "training" / run / "log.jsonl")
        assert [row["step"] for row in log] == [0, 2, 4]


@pytest.mark.parametrize("encoder", ["bilm", "transformer"])
@pytest.mark.parametrize("task", ["ner", "textcat"])
def test_frozen_encoders_stay_what_they_were(finished, task, encoder):
    weights = read_bin(finished / "pretraining" / encoder / "model-last.bin")["weights"]
    pretrained = {n: v for n, v in safetensors.numpy.load(weights).items() if "encoder." in n}
    for how in HOW:
        pipeline = finished / "training" / f"{task}_{encoder}_{how}" / "model-last"
        found = load_file(pipeline / "ctxemb" / "model" / "encoder.safetensors")
        equal = [np.array_equal(found[name], value) for name, value in pretrained.items()]
        assert all(equal) if how == "frozen" else not any(equal)


def test_a_second_run_skips_every_command(finished):
    output = run_all(finished)
    skipped = re.findall(r"Skipping '([\w-]+)'", output)
    assert skipped == WORKFLOWS["all"]
