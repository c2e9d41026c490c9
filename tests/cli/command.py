"""Running commands inside the tests' own process, which saves seconds each."""

import re
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from spacy_ctxemb.cli import ctxemb_cli


class Finished(NamedTuple):
    """A command that has run. output: all on one line, without colours and frames."""

    code: int
    output: str


def run(*arguments: str | Path) -> Finished:
    """`python -m spacy ctxemb ...`. What it raises is raised here."""
    result = CliRunner().invoke(
        ctxemb_cli, [str(argument) for argument in arguments], catch_exceptions=False
    )
    plain = re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", result.output)
    return Finished(result.exit_code, " ".join(plain.split()))


def run_well(*arguments: str | Path) -> str:
    """A command that must succeed; returns its output."""
    code, output = run(*arguments)
    assert code == 0, output
    return output
