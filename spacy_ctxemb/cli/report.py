"""`python -m spacy ctxemb report`"""

import os
import platform
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..report.sections import Section


def report(
    metrics_dir: Path = typer.Argument(
        ..., help="Files of `spacy evaluate` and of `ctxemb perplexity`; the report goes here"
    ),
    training_dir: Path = typer.Option(
        Path("training"), help="Holds an output directory of `spacy train` for each run"
    ),
    pretraining_dir: Path = typer.Option(
        Path("pretraining"), help="Holds an output directory of `spacy pretrain` for each encoder"
    ),
    title: str = typer.Option("Training report", help="Heading of the report"),
) -> None:
    """Gather the figures of several trainings into report.md and report.html.

    Reads {task}_{name}.json and perplexity_{name}.json of metrics_dir, the logs and the best
    models of training_dir/{task}_{name}, and the logs of pretraining_dir/{name}. What is not
    there is left out. Needs `pip install spacy-ctxemb[project]`.
    """
    from wasabi import msg

    from ..errors import Errors
    from ..files import replacing
    from ..report.inputs import read_figures
    from ..report.pages import html_page, markdown_page
    from ..report.sections import build_sections

    sections = list(build_sections(read_figures(metrics_dir, training_dir, pretraining_dir)))
    if not sections:
        msg.fail(Errors.E040.format(path=metrics_dir), exits=1)
    print_scores(sections)
    conditions = dict(describe_conditions())
    metrics_dir.mkdir(parents=True, exist_ok=True)
    for name, page in (("report.md", markdown_page), ("report.html", html_page)):
        with replacing(metrics_dir / name) as temporary:
            temporary.write_text(page(title, conditions, sections), encoding="utf8")
    msg.good("Wrote report.md and report.html", str(metrics_dir))


def print_scores(sections: "list[Section]") -> None:
    """Show the tables of scores in the terminal, an asterisk behind the best."""
    from wasabi import msg

    for section in sections:
        if section.table is not None and section.in_terminal:
            rows = [[f"{c.text} *" if c.best else c.text for c in r] for r in section.table.rows]
            aligns = ["l", *("r" for _ in section.table.header[1:])]
            msg.table(
                rows, header=section.table.header, aligns=aligns, divider=True, title=section.title
            )


def describe_conditions() -> Iterator[tuple[str, str]]:
    """When and with what the report was written."""
    yield "Date", date.today().isoformat()
    yield "spaCy", version("spacy")
    yield "PyTorch", version("torch")
    yield "spacy-ctxemb", version("spacy-ctxemb")
    yield "Python", platform.python_version()
    yield "CPU threads", str(os.cpu_count())
