"""The README knows all that a config or a shell may name."""

import importlib.metadata

import typer

from spacy_ctxemb.cli import ctxemb_cli

from .pretraining import CONFIGS

README = (CONFIGS.parent / "README.md").read_text(encoding="utf8")


def test_every_registered_name_is_there() -> None:
    points = importlib.metadata.distribution("spacy-ctxemb").entry_points
    prefix = "spacy-ctxemb."
    names = [point.name.removeprefix(prefix) for point in points if point.name.startswith(prefix)]
    assert len(names) > 30
    assert [name for name in names if f"`{name}`" not in README] == []


def test_every_command_is_there() -> None:
    group = typer.main.get_command(ctxemb_cli)
    names = [name for name in group.commands if f"`python -m spacy ctxemb {name}" not in README]
    assert len(group.commands) > 5
    assert names == []
