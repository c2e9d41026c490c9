"""`python -m spacy ctxemb align`"""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .output_paths import FORCE, check_new

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spacy.language import Language
    from spacy.tokens import Doc


def align(
    pipeline: str = typer.Argument(..., help="Directory or package of a pipeline with vectors"),
    path_a: Path = typer.Argument(..., metavar="A.txt", help="Texts, one a line"),
    path_b: Path = typer.Argument(..., metavar="B.txt", help="The other version of each line"),
    output: Path = typer.Argument(
        ..., help="File to write: a page to look at if it ends in .html, else links 0-0 1-2"
    ),
    method: str = typer.Option("argmax", help="argmax, itermax or match"),
    tokenized: bool = typer.Option(
        False, "--tokenized", help="Take what stands between spaces as tokens"
    ),
    force: bool = FORCE,
) -> None:
    """Find which tokens of two texts mean the same, line by line."""
    import spacy
    from tqdm import tqdm
    from wasabi import msg

    from ..alignment import align as align_docs
    from ..alignment.html import to_page
    from ..alignment.read_lines import read_lines
    from ..atomic_files import replacing
    from ..errors import Errors
    from ..stack.name_encoders import list_encoders

    check_new(output, force=force)
    a, b = (read_lines(path, "texts, one a line") for path in (path_a, path_b))
    if len(a) != len(b):
        names = {"a": path_a, "b": path_b, "n_a": len(a), "n_b": len(b)}
        raise ValueError(Errors.E755.format(**names))
    with replacing(output) as temporary:
        nlp = spacy.load(pipeline)
        is_stateful = any(shim.embedder.encoder.stateful for _, shim in list_encoders(nlp))
        # A stateful encoder goes on from line to line of one text: each text has its own.
        other = spacy.load(pipeline) if is_stateful else nlp
        docs = run(nlp, a, tokenized=tokenized), run(other, b, tokenized=tokenized)
        pairs = tqdm(zip(*docs, strict=True), total=len(a), unit=" lines", disable=None)
        is_page, parts, n_pairs = output.suffix == ".html", list[str](), 0
        for number, (doc_a, doc_b) in enumerate(pairs, start=1):
            found = align_docs(doc_a, doc_b, method)
            html = f"Alignment of line {number}"
            parts.append(found.to_html(html) if is_page else f"{found.to_pharaoh()}\n")
            n_pairs += len(found)
        text = to_page(parts, str(nlp.lang)) if is_page else "".join(parts)
        temporary.write_text(text, encoding="utf8")
    msg.good(f"Aligned {len(parts):,} lines, {n_pairs:,} pairs", str(output))


def run(nlp: "Language", lines: "Iterable[str]", *, tokenized: bool) -> "Iterator[Doc]":
    """Make a Doc of each line."""
    from spacy.tokens import Doc

    if not tokenized:
        return nlp.pipe(lines)
    return nlp.pipe(Doc(nlp.vocab, words=line.split()) for line in lines)
