"""`--help` of every command."""

import pytest

from spacy_ctxemb.cli import ctxemb_cli

from .command import run, run_well

COMMANDS = {(command.name,): command for command in ctxemb_cli.registered_commands} | {
    (group.name, command.name): command
    for group in ctxemb_cli.registered_groups
    for command in group.typer_instance.registered_commands
}


def test_the_commands_are_those_of_the_project():
    names = {"cache", "collect-text", "convert-squad", "convert-textcat", "train-pieces", "report"}
    names |= {
        "align",
        "align-score",
        "annotate",
        "ask",
        "benchmark",
        "compare",
        "doctor",
        "encode",
        "explain",
    }
    names |= {"index", "init-config", "perplexity", "pretrain", "search", "serve"}
    formats = {(way, model) for way in ("import", "export") for model in ("elmo", "bert")}
    formats |= {("export", "onnx")}
    assert COMMANDS.keys() == {*((name,) for name in names), *formats}
    output = run_well("--help")
    assert all(name in output for name in (*names, "import", "export"))


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help(name):
    first_line = COMMANDS[name].callback.__doc__.strip().splitlines()[0]
    output = run_well(*name, "--help")
    assert first_line[:40] in output
    assert "--help" in output


def test_no_command_shows_help():
    _, output = run()
    assert "Contextual word vectors for spaCy." in output


def test_an_unknown_command():
    code, output = run("train-peaces")
    assert code == 2
    assert "No such command" in output
