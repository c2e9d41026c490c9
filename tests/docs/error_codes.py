"""docs/errors.md: every message, by its theme, as spacy_ctxemb/errors has it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spacy_ctxemb import errors

from .markdown import escape

INTRODUCTION = """\
# Errors and warnings

<!-- Written by `python -m tests.docs.generate` from spacy_ctxemb/errors. Do not edit. -->

Each message begins with its code, names the values it found, and says what to do next. Names in
braces, such as `{path}`, stand for those values. Codes with an E are errors, with a W warnings."""

ASSIGNMENT = re.compile(r"    ([EW]\d{3}) = ")


class Message(NamedTuple):
    """A code, its text, and the comment above it. theme: the comment above the whole group."""

    theme: str
    code: str
    text: str
    remark: str


def write_errors() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    theme = None
    for message in sorted_by_theme(read_messages()):
        if message.theme != theme:
            theme = message.theme
            parts.append(f"## {theme[:1].upper()}{theme[1:]}")
        parts.append(f"### {message.code}\n\n{escape(message.text)}")
        if message.remark:
            parts.append(escape(message.remark))
    return "\n\n".join(parts) + "\n"


def sorted_by_theme(messages: list[Message]) -> list[Message]:
    """Themes in the order of the files, and codes in the order of their numbers."""
    themes = list(dict.fromkeys(message.theme for message in messages))
    return sorted(messages, key=lambda message: (themes.index(message.theme), message.code))


def read_messages() -> list[Message]:
    """All messages in the order of the files.

    A comment after an empty line is the theme of what follows; another one is of the next code.
    """
    found, theme, remark = [], "General", ""
    texts = dict(list_texts())
    for follows_blank, comment, code in list_lines():
        if comment and follows_blank:
            theme, remark = comment, ""
        elif comment:
            remark = f"{remark} {comment}".strip()
        elif code:
            text = texts[code].removeprefix(f"[{code}] ")
            found.append(Message(theme, code, text, remark))
            remark = ""
    return found


def list_lines() -> Iterator[tuple[bool, str, str]]:
    """Comments and codes of the files, one of both each, and whether an empty line is above."""
    follows_blank = True
    bases = errors.Errors.__bases__
    paths = [Path(sys.modules[base.__module__].__file__ or "") for base in bases]
    lines = [line for path in paths for line in path.read_text("utf8").splitlines()]
    for line in lines:
        stripped = line.strip()
        assignment = ASSIGNMENT.match(line)
        if line.startswith("    #"):
            yield follows_blank, stripped.lstrip("#: "), ""
        elif assignment:
            yield follows_blank, "", assignment[1]
        # The first comment of a class is a theme as well.
        follows_blank = not stripped or line.startswith("class ")


def list_texts() -> Iterator[tuple[str, str]]:
    """The messages by their codes."""
    for name in dir(errors.Errors):
        if re.fullmatch(r"[EW]\d{3}", name):
            yield name, getattr(errors.Errors, name)
