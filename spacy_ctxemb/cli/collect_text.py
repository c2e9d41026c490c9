"""`python -m spacy ctxemb collect-text`"""

import ast
import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import typer

from .output_paths import FORCE, check_new

#: Packages whose docstrings are read before those of all others, so that the text depends
#: little on what else is installed.
PACKAGES = ("spacy", "thinc", "torch", "numpy", "matplotlib", "pydantic", "typer", "tokenizers")


def collect_text(
    output_dir: Path = typer.Argument(..., help="Directory for train.txt and dev.txt"),
    words: int = typer.Option(200_000, min=1, help="Words of train.txt"),
    dev_words: int = typer.Option(10_000, min=1, help="Words of dev.txt"),
    force: bool = FORCE,
) -> None:
    """Collect the English text that this Python installation carries: the documentation of the
    language, and the docstrings of the standard library and of installed packages.

    One sentence a line. Every 20th sentence is held out until dev.txt is full.
    """
    from wasabi import msg

    from ..atomic_files import replacing

    targets = output_dir / "train.txt", output_dir / "dev.txt"
    check_new(*targets, force=force)
    # First: long work should not end where nothing can be kept.
    output_dir.mkdir(parents=True, exist_ok=True)
    train: list[str] = []
    dev: list[str] = []
    n_train, n_dev = 0, 0
    seen: set[str] = set()
    for sentence in (s for text in documentation() for s in sentences(text)):
        if sentence in seen:
            continue
        seen.add(sentence)
        n = len(sentence.split())
        if len(seen) % 20 == 0 and n_dev < dev_words:
            dev.append(sentence)
            n_dev += n
        else:
            train.append(sentence)
            n_train += n
        if n_train >= words:
            break
    for path, lines in zip(targets, (train, dev), strict=True):
        with replacing(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf8")
    msg.good(f"Collected {n_train:,} words, and {n_dev:,} held out", str(output_dir))


def documentation() -> Iterator[str]:
    """Texts in a fixed order: the language's topics, the library, then packages."""
    from pydoc_data.topics import topics

    yield from (topics[name] for name in sorted(topics))
    library = Path(inspect.getfile(ast)).parent
    packages = Path(sys.modules["typer"].__file__ or "").parent.parent
    roots = [library / "*.py", *(packages / name / "**" / "*.py" for name in PACKAGES)]
    for root in [*roots, library / "*" / "*.py", packages / "*" / "**" / "*.py"]:
        anchor = Path(root.anchor)
        for path in sorted(anchor.glob(str(root.relative_to(anchor)))):
            yield from docstrings(path)


def docstrings(path: Path) -> Iterator[str]:
    """The docstrings of a source file, which is parsed, not run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text(encoding="utf8"))
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text that are prose, each on one line."""
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
            if is_prose(sentence):
                yield sentence


def is_prose(sentence: str) -> bool:
    """A whole sentence, mostly of plain words: no code, tables or signatures."""
    words = sentence.split()
    plain = sum(bool(re.fullmatch(r"[\"'(]?[A-Za-z][a-z'-]*[.,;:!?)\"']*", word)) for word in words)
    begins_and_ends = bool(re.match(r"[A-Z]", sentence)) and sentence[-1] in ".!?"
    return len(words) >= 6 and begins_and_ends and plain >= 0.85 * len(words)
