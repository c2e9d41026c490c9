"""project.yml: what it names exists, its main job and its pretraining run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import srsly
import typer
import weasel.cli.run
from spacy.cli._util import app
from typer.main import get_command
from typer.testing import CliRunner
from weasel.util import load_project_config

import spacy_ctxemb.cli  # noqa: F401 (adds its commands to spaCy's)
from spacy_ctxemb.pretrained import make_package_weights as make

from .benchmarks import accuracy
from .small_corpus import copy_corpus

ROOT = Path(__file__).parents[1]

#: Runs as short as they can be.
SHORT = {
    "labels": "10",
    "seeds": "0",
    "seeds_of_all": "0",
    "workers": "1",
    "text_words": "1000",
    "pretrain_epochs": "1",
}
SETTINGS = "--training.max_steps 2 --training.eval_frequency 1"
#: Examples of each part of a corpus.
N_EXAMPLES = 12

PROJECT = load_project_config(ROOT)
COMMANDS = {command["name"]: command for command in PROJECT["commands"]}
WORKFLOWS = PROJECT["workflows"]


def find_command(words):
    """The command that words name, and the words that follow."""
    assert words[:2] == ["python", "-m"]
    scripts = {
        "tests.benchmarks.accuracy": accuracy.main,
        "spacy_ctxemb.pretrained.make_package_weights": make.make,
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
        if command.name not in ("train", "pretrain", "compare"):
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


# Runs


def copy_project(directory):
    """The project with small corpora."""
    project = (ROOT / "project.yml").read_text(encoding="utf8")
    project = project.replace('settings: ""', f'settings: "{SETTINGS}"', 1)
    (directory / "project.yml").write_text(project, encoding="utf8")
    shutil.copytree(ROOT / "configs", directory / "configs")
    copy_corpus(directory / "tests" / "corpus", N_EXAMPLES)
    shutil.copy(ROOT / "tests/corpus/senses.jsonl", directory / "tests/corpus")


def run_workflow(name, directory):
    """`spacy project run NAME`, with its commands in this process. Returns what it prints itself.

    One command is a process: it stands for all, since the start of each takes seconds.
    """
    options = [f"--vars.{key}={value}" for key, value in SHORT.items()]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(weasel.cli.run, "run_command", run_command)
        arguments = ["project", "run", name, str(directory), *options]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output[-5000:]
    return result.output


def run_command(words, **settings):
    words = ["python", *words[1:]]
    if "convert-textcat" in words:
        subprocess.run([sys.executable, *words[1:]], check=True)
    elif words[1] == "-c":
        exec(words[2], {})
    else:
        command, rest = find_command(words)
        command.main(rest, standalone_mode=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy of the project after `run all`."""
    directory = tmp_path_factory.mktemp("project")
    copy_project(directory)
    run_workflow("all", directory)
    return directory


def test_the_report_opens_with_the_comparison(finished):
    metrics = finished / "metrics"
    _, title, _, table, picture, *_ = (metrics / "report.md").read_text("utf8").split("\n\n")
    assert title == "## Comparison"
    header, _, *rows = table.splitlines()
    assert header == "|  | ner, 10 examples | textcat, 10 examples |"
    names = ["HashEmbedCNN", "MiniLM", "fine-tuned", "frozen"]
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in names]
    assert picture.startswith("![Mean test scores") and picture.endswith("](comparison.png)")
    html = (metrics / "report.html").read_text("utf8")
    assert html.index("<table>") < html.index("<img src=") < html.index("ner: ")
    assert (metrics / "comparison.png").stat().st_size < 100_000


def test_every_training_has_a_result(finished):
    results = [srsly.read_json(p) for p in (finished / "metrics/comparison").glob("*.json")]
    assert len(results) == 2 * 4
    assert {r["metric"] for r in results} == {"ents_f", "cats_score"}
    assert all([row["step"] for row in r["log"]] == [0, 1, 2] for r in results)


def test_a_second_run_skips_every_command(finished):
    output = run_workflow("all", finished)
    skipped = re.findall(r"Skipping '([\w-]+)'", output)
    assert skipped == WORKFLOWS["all"]


def test_the_workflow_pretrain(tmp_path):
    copy_project(tmp_path)
    run_workflow("pretrain", tmp_path)
    for name in WORKFLOWS["pretrain"]:
        assert all((tmp_path / path).exists() for path in COMMANDS[name]["outputs"]), name
    markdown = (tmp_path / "metrics/pretrained/report.md").read_text(encoding="utf8")
    for title in ("Comparison", "ner: dev score", "Perplexity", "Pretraining loss"):
        assert f"\n## {title}\n" in markdown
    for encoder in ("bilm", "transformer"):
        assert f"\n| {encoder} | " in markdown
