"""No command replaces a file without --force."""

from pathlib import Path

import pytest

from ..doctor.configs import TEXTS, build_config, write_texts
from ..pretraining import TEXT, write_text
from .command import run

#: Files that the user has, in the places where a command writes.
COMMANDS = {
    "collect-text": ["train.txt", "dev.txt"],
    "convert-textcat": ["train.spacy"],
    "convert-textcat to a file": ["one.spacy"],
    "doctor": ["report.json"],
    "init-config": ["new.cfg"],
    "perplexity": ["scores.json"],
    "report": ["report.md", "report.html"],
    "train-pieces": ["pieces.json"],
}


def make_command(name: str, folder: Path) -> list[str | Path]:
    """A command that writes into a folder."""
    write_texts(folder / "texts.spacy", TEXTS)
    build_config(paths={"train": str(folder / "texts.spacy"), "dev": None}).to_disk(
        folder / "config.cfg"
    )
    row = '{"text": "A bank.", "label": "money"}\n'
    (folder / "train.jsonl").write_text(row)
    (folder / "ner_a.json").write_text('{"ents_f": 0.5}')
    text = write_text(folder / "text.txt", TEXT)
    return {
        "collect-text": ["collect-text", folder, "--words", "50", "--dev-words", "5"],
        "convert-textcat": ["convert-textcat", folder / "train.jsonl", folder],
        "convert-textcat to a file": [
            *("convert-textcat", folder / "train.jsonl", folder / "one.spacy"),
        ],
        "doctor": [
            *("doctor", folder / "config.cfg", "--no-measure", "--json", folder / "report.json"),
        ],
        "init-config": ["init-config", folder / "new.cfg"],
        "perplexity": [
            *("perplexity", folder / "config.cfg", text, text, "--output", folder / "scores.json"),
        ],
        "report": ["report", folder],
        "train-pieces": ["train-pieces", text, folder / "pieces.json", "--vocab-size", "300"],
    }[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_files_are_replaced_with_force_alone(name: str, tmp_path: Path) -> None:
    command = make_command(name, tmp_path)
    for file in COMMANDS[name]:
        (tmp_path / file).write_text("of the user")
        code, shown = run(*command)
        assert code == 1 and "[E510]" in shown and "exists already. Pass --force" in shown
        assert (tmp_path / file).read_bytes() == b"of the user"
        others = [tmp_path / other for other in COMMANDS[name] if other != file]
        assert not any(other.exists() for other in others)
        if name != "perplexity":  # it needs weights
            run(*command, "--force")
            assert (tmp_path / file).read_bytes() != b"of the user"
            for other in (*others, tmp_path / file):
                other.unlink()
