"""Whether a command line names commands, options, files and variables that exist."""

import importlib
import importlib.metadata
from typing import Any

import click
import typer
from spacy.cli._util import app
from typer.main import get_command
from weasel.util import load_project_config

import spacy_ctxemb.cli  # noqa: F401 (adds its commands to spaCy's)

from .pages import ROOT


def check_command(words: list[str]) -> None:
    """Raise AssertionError for what does not exist."""
    program = words[0].rpartition("/")[2]
    if program in ("python", "python3", "torchrun"):
        check_python(words[words.index("-m") + 1 :] if "-m" in words else words[1:])
    elif program == "pip":
        check_extras(words)
    else:
        assert program in ("pytest", "uv", "properdocs"), f"no program {program}"
    for word in words:
        if word.startswith((".ci/", "configs/", "tests/")):
            assert (ROOT / word).exists(), f"no file {word}"


def check_python(words: list[str]) -> None:
    """What follows `python -m`, or `python`."""
    if words[0] == "spacy" and words[1:3] == ["project", "run"]:
        check_project(words[3:])
    elif words[0] == "spacy":
        check_options(*find_command(get_command(app), words[1:]))
    elif words[0].startswith("tests"):
        name = words[0].removesuffix(".py").replace("/", ".")
        if "docs" not in name:
            check_script(name, words[1:])
    else:
        assert words[0] == "venv", f"no module {words[0]}"


def find_command(command: Any, words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, and the words that follow."""
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"no command {words[0]!r} of {command.name!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def check_options(command: click.Command, words: list[str]) -> None:
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    accepts_settings = command.context_settings.get("ignore_unknown_options", False)
    for word in words:
        if word.startswith("--"):
            name = word.partition("=")[0]
            is_setting = "." in name and accepts_settings  # of a config
            assert name in known or is_setting, f"no option {name} of {command.name}"


def check_script(name: str, words: list[str]) -> None:
    """A benchmark: a function for typer, or one that uses argparse."""
    text = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf8")
    if "argparse" in text:
        missing = [w for w in words if w.startswith("--") and f'"{w}"' not in text]
        assert not missing, f"no option {missing} of {name}"
        return
    script = typer.Typer()
    script.command()(importlib.import_module(name).main)
    check_options(get_command(script), words)


def check_project(words: list[str]) -> None:
    """`spacy project run NAME [DIR] [--vars.NAME VALUE]`"""
    project = load_project_config(ROOT)
    names = {*project["workflows"], *(command["name"] for command in project["commands"])}
    assert words[0] in names, f"no command {words[0]!r} of project.yml"
    for word in words:
        if word.startswith("--vars."):
            assert word.removeprefix("--vars.") in project["vars"], f"no variable {word}"


def check_extras(words: list[str]) -> None:
    """`pip install .[EXTRA]`"""
    extras = importlib.metadata.metadata("spacy-ctxemb").get_all("Provides-Extra") or []
    for word in words:
        if word.startswith(".["):
            assert set(word[2:-1].split(",")) <= set(extras), f"no extra {word}"
