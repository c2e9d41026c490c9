"""`python -m spacy ctxemb report`"""

import os
import platform
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .show_errors import showing_errors

if TYPE_CHECKING:
    from ..report.comparison_section import Senses


def report(
    metrics_dir: Path = typer.Argument(
        ..., help="Holds scores, and the folder comparison of `compare`; the report goes here"
    ),
    training_dir: Path = typer.Option(
        Path("training"), help="Holds an output directory of `spacy train` for each run"
    ),
    pretraining_dir: Path = typer.Option(
        Path("pretraining"), help="Holds an output directory of `spacy pretrain` for each encoder"
    ),
    senses: Path | None = typer.Option(
        None, help="JSON lines with text, word and sense: uses of a word to show on a plane"
    ),
    title: str = typer.Option("Training report", help="Heading of the report"),
) -> None:
    """Write report.md and report.html about a comparison and other trainings.

    Reads comparison/*.json of `ctxemb compare`; {task}_{name}.json of `spacy evaluate` and
    perplexity_{name}.json of `ctxemb perplexity`; the logs and the best models of
    training_dir/{task}_{name}; and the logs of pretraining_dir/{name}. What is missing is left
    out. Needs `pip install spacy-ctxemb[project]`.
    """
    from wasabi import msg

    from ..atomic_files import replacing
    from ..errors import Errors
    from ..report.contents import build_sections
    from ..report.markdown_and_html import html_page, markdown_page
    from ..report.read_metrics import read_figures
    from ..report.tables import print_table

    figures = read_figures(metrics_dir, training_dir, pretraining_dir)
    word = ""
    points: Senses | None = None
    if senses is not None:
        from ..comparison.word_senses import place_senses

        with showing_errors():
            word, points = place_senses(senses)
    sections = list(build_sections(figures, points, word))
    if not sections:
        msg.fail(Errors.E517.format(path=metrics_dir), exits=1)
    for section in sections:
        if section.table is not None and section.in_terminal:
            print_table(section.table, section.title)
    conditions = dict(describe_conditions())
    metrics_dir.mkdir(parents=True, exist_ok=True)
    files = {
        "report.md": markdown_page(title, conditions, sections).encode(),
        "report.html": html_page(title, conditions, sections).encode(),
        **{part.picture: part.plot.png for part in sections if part.picture and part.plot},
    }
    for name, content in files.items():
        with replacing(metrics_dir / name) as temporary:
            temporary.write_bytes(content)
    msg.good(f"Wrote {', '.join(files)}", str(metrics_dir))


def describe_conditions() -> Iterator[tuple[str, str]]:
    """When and with what the report was written."""
    yield "Date", date.today().isoformat()
    yield "spaCy", version("spacy")
    yield "PyTorch", version("torch")
    yield "spacy-ctxemb", version("spacy-ctxemb")
    yield "Python", platform.python_version()
    yield "CPU threads", str(os.cpu_count())
