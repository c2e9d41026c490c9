"""`python -m spacy ctxemb collect-text`"""

import subprocess
import sys
from pathlib import Path

import pytest

from spacy_ctxemb.cli.collect_text import docstrings, is_prose, sentences

from .command import run, run_well


def collect(directory, *options):
    """Lines of train.txt and dev.txt."""
    run_well("collect-text", directory, *options)
    texts = [(directory / name).read_text(encoding="utf8") for name in ("train.txt", "dev.txt")]
    assert all(text.endswith("\n") for text in texts)
    return [text.splitlines() for text in texts]


def count_words(lines):
    return sum(len(line.split()) for line in lines)


def test_as_many_words_as_asked_for(tmp_path):
    train, dev = collect(tmp_path / "new" / "text", "--words", "3000", "--dev-words", "100")
    assert 3000 <= count_words(train) < 3000 + len(train[-1].split())
    assert 100 <= count_words(dev) < 100 + len(dev[-1].split())
    assert all(is_prose(line) for line in train + dev)


@pytest.mark.parametrize("option", ["--words", "--dev-words"])
@pytest.mark.parametrize("number", ["0", "-5"])
def test_numbers_of_words_below_one(option, number, tmp_path):
    code, _ = run("collect-text", tmp_path / "out", option, number)
    assert code == 2 and not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    module = sys.modules["spacy_ctxemb.cli.collect_text"]
    monkeypatch.setattr(module, "documentation", lambda: pytest.fail("too late"))
    code, output = run("collect-text", tmp_path / "file")
    assert code == 1 and "[E519]" in output and "File exists" in output


def test_held_out_sentences_are_not_trained_on(tmp_path):
    train, dev = collect(tmp_path, "--words", "5000")
    assert len({*train, *dev}) == len(train) + len(dev)
    assert len(dev) == (len(train) + len(dev)) // 20


def test_the_same_installation_gives_the_same_text(tmp_path):
    """Also in another process, whose hashes of strings differ."""
    first = collect(tmp_path / "first", "--words", "2000")
    second = tmp_path / "second"
    command = [sys.executable, "-m", "spacy", "ctxemb", "collect-text", str(second)]
    subprocess.run([*command, "--words", "2000"], check=True, capture_output=True)
    for name, lines in zip(("train.txt", "dev.txt"), first, strict=True):
        assert (second / name).read_text(encoding="utf8").splitlines() == lines


def test_sentences_are_prose_on_one_line():
    text = (
        "Return the number of\n    items in the container.  The result is never\n"
        "a negative number.\n\n"
        ">>> len([1, 2])\n2\n\nToo short.\n\nx = f(a, b) + g(c, d) is what this does.\n\n"
        "this sentence does not begin with a capital letter."
    )
    assert list(sentences(text)) == [
        "Return the number of items in the container.",
        "The result is never a negative number.",
    ]


def test_docstrings_of_modules_classes_and_functions(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        '"""Of the module."""\nraise SystemExit\n\nclass A:\n    """Of the class."""\n\n'
        '    async def f(self):\n        """Of the method."""\n\ndef g():\n    "Of g."\n',
        encoding="utf8",
    )
    found = set(docstrings(path))
    assert found == {"Of the module.", "Of the class.", "Of the method.", "Of g."}


@pytest.mark.parametrize("source", [b"def (:", b'"""\xff"""', b"\x00", b"x = '\\d'"])
def test_sources_that_do_not_parse_are_passed_over(source, tmp_path):
    path = tmp_path / "module.py"
    path.write_bytes(source)
    assert list(docstrings(path)) == []


def test_an_interrupted_write_leaves_the_old_text(tmp_path, monkeypatch):
    collect(tmp_path, "--words", "500")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(self, text, **settings):
        self.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    code, shown = run("collect-text", tmp_path, "--words", "1000", "--force")
    assert code == 1 and "[E164]" in shown and "disk full" in shown
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
