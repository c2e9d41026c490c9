"""`python -m spacy ctxemb convert-textcat`"""

import gzip
import json
import re
from pathlib import Path

import typer

from ..errors import Errors
from ..read_files import reading
from .output_paths import FORCE, check_new

SUFFIXES = (".jsonl", ".jsonl.gz")


def convert_textcat(
    input_path: Path = typer.Argument(
        ..., help='JSON lines {"text": ..., "label": ...}, .gz too; or a folder', exists=True
    ),
    output: Path = typer.Argument(..., help="Folder for .spacy files, or one file *.spacy"),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
    force: bool = FORCE,
) -> None:
    """Convert labelled texts to spaCy's binary format, with every label in doc.cats."""
    import spacy
    from spacy.tokens import DocBin
    from wasabi import msg

    from ..atomic_files import replacing

    paths = find_files(input_path)
    is_one_file = output.suffix == ".spacy" and not input_path.is_dir()
    targets = {input_path: output} if is_one_file else name_targets(paths, output)
    check_new(*targets.values(), force=force)
    files = {path: read_rows(path) for path in paths}
    # A file may lack a label that others have; the Docs of all have the same labels.
    labels = sorted({row["label"] for rows in files.values() for row in rows})
    nlp = spacy.blank(lang)
    for path, rows in files.items():
        docs = DocBin()
        for row in rows:
            doc = nlp.make_doc(row["text"])
            doc.cats = {label: float(label == row["label"]) for label in labels}
            docs.add(doc)
        with replacing(targets[path]) as temporary:
            temporary.write_bytes(docs.to_bytes())
        msg.good(f"{len(rows)} texts with {len(labels)} labels", str(targets[path]))


def find_files(path: Path) -> list[Path]:
    """The file itself, or the files with rows in a folder. Raises E512 for a folder with none."""
    if not path.is_dir():
        return [path]
    paths = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    if not paths:
        raise ValueError(Errors.E512.format(path=path, suffixes=list(SUFFIXES)))
    return paths


def name_targets(paths: list[Path], output: Path) -> dict[Path, Path]:
    """Where the Docs of each file go. Raises E524 for two that would go to the same file."""
    targets = dict[Path, Path]()
    for path in paths:
        target = output / f"{path.name.removesuffix('.gz').removesuffix('.jsonl')}.spacy"
        same = [str(other) for other, found in targets.items() if found == target]
        if same:
            raise ValueError(Errors.E524.format(paths=[*same, str(path)], target=target))
        targets[path] = target
    return targets


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file.

    Raises E511 for one without a text or a label, E403 for none at all, E163 for a damaged file.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with reading(path, "lines of JSON in UTF-8"), opener(path, "rt", encoding="utf8") as lines:
        rows = [parse(line) for line in lines if not line.isspace()]
    for i, row in enumerate(rows, start=1):
        if not all(is_text(row.get(key)) for key in ("text", "label")):
            raise ValueError(Errors.E511.format(row=i, path=path, found=str(row)[:80]))
    if not rows:
        raise ValueError(Errors.E403.format(path=path))
    return rows


def parse(line: str) -> dict[str, str]:
    """The object of a line; {} for anything else."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def is_text(value: object) -> bool:
    """Whether a value is a string, and has no half of a character, which spaCy cannot store."""
    return isinstance(value, str) and not re.search(r"[\ud800-\udfff]", value)
