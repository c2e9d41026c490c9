"""The corpora of the project, cut short."""

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def copy_corpus(
    target: Path, n_examples: int, *, tasks: tuple[str, ...] = ("ner", "textcat")
) -> None:
    """Write the first examples of each part of each task below a folder."""
    for task in tasks:
        (target / task).mkdir(parents=True)
        for path in (CORPUS / task).iterdir():
            separator = "\n\n" if path.suffix == ".conll" else "\n"
            examples = path.read_text(encoding="utf8").split(separator)[:n_examples]
            text = separator.join(examples) + "\n"
            (target / task / path.name).write_text(text, encoding="utf8")
