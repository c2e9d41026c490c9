"""docs/reference.md: every name, setting, command and option, as the code has them."""

import dataclasses
import importlib.metadata
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import typer

import spacy_ctxemb
from spacy_ctxemb.cli import ctxemb_cli
from spacy_ctxemb.factory import build_ctxemb
from spacy_ctxemb.pretraining.pretrain_section import PretrainSettings

from .docstrings import describe, summarise
from .markdown import begin_sentence, escape, write_table

#: How a config names what is registered in each group of entry points.
GROUPS = {
    "spacy_architectures": ("Models", "@architectures"),
    "spacy_misc": ("Loaders, corpora, objectives, optimizers, cache", "@misc"),
    "spacy_callbacks": ("Callbacks", "@callbacks"),
    "thinc_schedules": ("Schedules", "@schedules"),
}
PREFIX = "spacy-ctxemb."

INTRODUCTION = """\
# Reference

<!-- Written by `python -m tests.docs.generate` from signatures and docstrings. Do not edit. -->

This page lists every registered name with its settings, every command with its options, and the
Python functions. Where a text ends with numbers such as "128 to 512", these are the usual
values."""


def write_reference() -> str:
    """The whole page."""
    sections = [
        INTRODUCTION,
        write_component(),
        *write_registered(),
        write_pretrain(),
        *write_commands(),
        *write_functions(),
    ]
    return "\n\n".join(sections) + "\n"


# Settings


def write_component() -> str:
    from spacy.language import Language

    defaults = Language.get_factory_meta("ctxemb").default_config
    texts = describe(build_ctxemb)
    rows = [
        (name, write_model(value), begin_sentence(texts[name])) for name, value in defaults.items()
    ]
    heading = "## The component `ctxemb`\n\nSettings of a section `[components.ctxemb]`.\n\n"
    return heading + write_table(("setting", "default", "what it is"), rows)


def write_model(value: object) -> str:
    """A default of the component."""
    return "the English model" if isinstance(value, dict) else to_json(value)


def write_registered() -> Iterator[str]:
    points = importlib.metadata.distribution("spacy-ctxemb").entry_points
    for group, (title, key) in GROUPS.items():
        yield f"## {title}\n\nA config names them with `{key}`."
        for point in sorted(points.select(group=group), key=lambda point: point.name):
            yield write_function(f"`{point.name}`", point.load())


def write_function(title: str, function: Callable[..., Any]) -> str:
    """A heading, what a registered function makes, and its settings."""
    texts = describe(function)
    rows = [
        (name, write_default(p.default), begin_sentence(texts.get(name, "")))
        for name, p in inspect.signature(function).parameters.items()
    ]
    parts = [f"### {title}", escape(begin_sentence(summarise(function)))]
    if rows:
        parts.append(write_table(("setting", "default", "what it is"), rows))
    return "\n\n".join(parts)


def write_pretrain() -> str:
    texts = describe(PretrainSettings)
    rows = [
        (field.name, write_default(field.default), begin_sentence(texts.get(field.name, "")))
        for field in dataclasses.fields(PretrainSettings)
    ]
    heading = "## The section `[pretrain]`\n\nFor `python -m spacy ctxemb pretrain`.\n\n"
    return heading + write_table(("setting", "default", "what it is"), rows)


def write_default(value: object) -> str:
    missing = (inspect.Parameter.empty, dataclasses.MISSING)
    return "required" if value in missing else to_json(value)


def to_json(value: object) -> str:
    return f"`{json.dumps(value)}`"


# Commands


def write_commands() -> Iterator[str]:
    yield "## Commands"
    for name, command in list_commands(
        typer.main.get_command(ctxemb_cli), "python -m spacy ctxemb"
    ):
        yield f"### `{name}`\n\n{escape(inspect.cleandoc(command.help or ''))}"
        yield write_table(("argument or option", "default", "what it is"), list_options(command))


def list_commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands beneath one, with their full names."""
    commands: Mapping[str, click.Command] = getattr(command, "commands", {})
    for key in sorted(commands):
        yield from list_commands(commands[key], f"{name} {key}")
    if not commands:
        yield name, command


def list_options(command: click.Command) -> Iterator[tuple[str, str, str]]:
    """The rows of a command's table."""
    function = inspect.unwrap(command.callback)  # type: ignore[arg-type] # each command has one
    hints = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        info = parameter.default
        option = next((p for p in command.params if p.name == name), None)
        if option is None or not hasattr(info, "help"):
            continue  # the context
        is_argument = isinstance(option, click.Argument) or not option.opts[0].startswith("-")
        flags = [*option.opts, *option.secondary_opts]
        shown = info.metavar or name.upper() if is_argument else ", ".join(flags)
        choices = list_choices(hints[name])
        text = (info.help or "") + (f". One of {', '.join(choices)}" if choices else "")
        yield shown, write_option_default(info.default), text


def list_choices(hint: Any) -> list[str]:
    """The values of an Enum, or of one that may be None."""
    kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type)]
    return [str(member.value) for kind in kinds if issubclass(kind, Enum) for member in kind]


def write_option_default(value: Any) -> str:
    if value is ...:
        return "required"
    if value is None:
        return ""
    plain = value.value if isinstance(value, Enum) else value
    return f"`{plain}`" if isinstance(plain, str | Path) else to_json(plain)


# Python


def write_functions() -> Iterator[str]:
    yield "## Python\n\nFunctions of `spacy_ctxemb`."
    for name in spacy_ctxemb.__all__:
        value = getattr(spacy_ctxemb, name)
        if callable(value):
            arguments = ", ".join(inspect.signature(value).parameters)
            text = inspect.cleandoc(value.__doc__ or "")
            yield f"### `spacy_ctxemb.{name}({arguments})`\n\n```text\n{text}\n```"
