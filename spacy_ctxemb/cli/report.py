"""`python -m spacy ctxemb report`"""

import os
import platform
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import typer

from .output_paths import FORCE, check_new


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
        None,
        exists=True,
        help="JSON lines with text, word and sense: uses of a word to show on a plane",
    ),
    title: str = typer.Option("Training report", help="Heading of the report"),
    force: bool = FORCE,
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

    if find_spec("matplotlib") is None:
        raise ImportError(Errors.E523.format(package="matplotlib"))
    from ..report.all_sections import build_sections
    from ..report.format_tables import print_table
    from ..report.markdown_and_html import html_page, markdown_page
    from ..report.read_metrics import read_figures
    from ..report.word_senses import place_senses

    figures = read_figures(metrics_dir, training_dir, pretraining_dir)
    word, points = place_senses(senses) if senses else ("", None)
    sections = list(build_sections(figures, points, word))
    if not sections:
        raise ValueError(Errors.E517.format(path=metrics_dir))
    for section in sections:
        if section.table is not None and section.in_terminal:
            print_table(section.table, section.title)
    conditions = {
        "Date": date.today().isoformat(),
        "spaCy": version("spacy"),
        "PyTorch": version("torch"),
        "spacy-ctxemb": version("spacy-ctxemb"),
        "Python": platform.python_version(),
        "CPU threads": str(os.cpu_count()),
    }
    files = {
        "report.md": markdown_page(title, conditions, sections).encode(),
        "report.html": html_page(title, conditions, sections).encode(),
        **{part.picture: part.plot.png for part in sections if part.picture and part.plot},
    }
    check_new(*(metrics_dir / name for name in files), force=force)
    for name, content in files.items():
        with replacing(metrics_dir / name) as temporary:
            temporary.write_bytes(content)
    msg.good(f"Wrote {', '.join(files)}", str(metrics_dir))
