"""`python -m spacy ctxemb convert-textcat`"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import typer

SUFFIXES = (".jsonl", ".jsonl.gz")


def convert_textcat(
    input_path: Path = typer.Argument(
        ..., help='JSON lines {"text": ..., "label": ...}, .gz too; or a directory', exists=True
    ),
    output_dir: Path = typer.Argument(..., help="Directory for .spacy files"),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
) -> None:
    """Convert labelled texts to spaCy's binary format, every label in doc.cats."""
    import spacy
    from spacy.tokens import DocBin
    from wasabi import msg

    from ..errors import Errors
    from ..files import replacing

    paths = [input_path]
    if input_path.is_dir():
        paths = sorted(p for p in input_path.iterdir() if p.name.endswith(SUFFIXES))
    if not paths:
        msg.fail(Errors.E041.format(path=input_path, suffixes=list(SUFFIXES)), exits=1)
    nlp = spacy.blank(lang)
    output_dir.mkdir(parents=True, exist_ok=True)
    files = {path: list(read_json_lines(path)) for path in paths}
    for path, rows in files.items():
        for i, row in enumerate(rows, start=1):
            if not all(isinstance(row.get(key), str) for key in ("text", "label")):
                msg.fail(Errors.E039.format(row=i, path=path, found=str(row)[:80]), exits=1)
    # A file may lack a label that others have; all of them get the same doc.cats.
    labels = sorted({row["label"] for rows in files.values() for row in rows})
    for path, rows in files.items():
        docs = DocBin()
        for row in rows:
            doc = nlp.make_doc(row["text"])
            doc.cats = {label: float(label == row["label"]) for label in labels}
            docs.add(doc)
        output_path = output_dir / f"{path.name.removesuffix('.gz').removesuffix('.jsonl')}.spacy"
        with replacing(output_path) as temporary:
            temporary.write_bytes(docs.to_bytes())
        msg.good(f"{len(rows)} texts with {len(labels)} labels", str(output_path))


def read_json_lines(path: Path) -> Iterator[dict[str, str]]:
    """The objects of a file; {} for a row that is not one."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf8") as lines:
        for line in lines:
            if line.isspace():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                row = None
            yield row if isinstance(row, dict) else {}
