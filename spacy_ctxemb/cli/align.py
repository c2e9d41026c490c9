"""`python -m spacy ctxemb align`"""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .output_paths import FORCE, check_new

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    from ..atomic_files import replacing
    from ..errors import Errors

    check_new(output, force=force)
    a, b = read_lines(path_a), read_lines(path_b)
    if len(a) != len(b):
        names = {"a": path_a, "b": path_b, "n_a": len(a), "n_b": len(b)}
        raise ValueError(Errors.E755.format(**names))
    with replacing(output) as temporary:
        nlp = spacy.load(pipeline)
        docs = (run(nlp, lines, tokenized=tokenized) for lines in (a, b))
        pairs = tqdm(zip(*docs, strict=True), total=len(a), unit=" lines", disable=None)
        found = [align_docs(doc_a, doc_b, method) for doc_a, doc_b in pairs]
        if output.suffix == ".html":
            text = to_page([one.to_html() for one in found], str(nlp.lang))
        else:
            text = "".join(f"{one.to_pharaoh()}\n" for one in found)
        temporary.write_text(text, encoding="utf8")
    msg.good(f"Aligned {len(found):,} lines, {sum(map(len, found)):,} pairs", str(output))


def read_lines(path: Path) -> list[str]:
    from ..read_files import reading

    with reading(path, "texts, one a line"):
        return path.read_text(encoding="utf8").splitlines()


def run(nlp: "Language", lines: list[str], *, tokenized: bool) -> "Iterator[Doc]":
    """Make a Doc of each line."""
    from spacy.tokens import Doc

    if not tokenized:
        return nlp.pipe(lines)
    return nlp.pipe(Doc(nlp.vocab, words=line.split()) for line in lines)
