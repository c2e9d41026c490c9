"""`python -m spacy ctxemb convert-textcat`"""

import gzip
import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from .command import run, run_well

ROWS = [
    {"text": "The bank raised its interest rate.", "label": "money"},
    {"text": "Otters slept on the river bank.", "label": "nature"},
    {"text": "A heron fished in the río.", "label": "nature"},
]


def write_rows(path, rows=ROWS):
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read_docs(path, lang="en"):
    return list(DocBin().from_disk(path).get_docs(spacy.blank(lang).vocab))


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz"])
def test_texts_and_every_label(name, tmp_path):
    path = write_rows(tmp_path / name)
    output = run_well("convert-textcat", path, tmp_path / "new" / "out")
    assert "3 texts with 2 labels" in output
    docs = read_docs(tmp_path / "new" / "out" / "train.spacy")
    assert [doc.text for doc in docs] == [row["text"] for row in ROWS]
    assert [list(doc.cats.items()) for doc in docs] == [
        [("money", float(row["label"] == "money")), ("nature", float(row["label"] == "nature"))]
        for row in ROWS
    ]


def test_a_directory(tmp_path):
    write_rows(tmp_path / "train.jsonl")
    write_rows(tmp_path / "dev.jsonl.gz", ROWS[:2])
    (tmp_path / "notes.txt").write_text("not data", encoding="utf8")
    run_well("convert-textcat", tmp_path, tmp_path / "out")
    sizes = {path.name: len(read_docs(path)) for path in (tmp_path / "out").iterdir()}
    assert sizes == {"train.spacy": 3, "dev.spacy": 2}


def test_one_file_to_one_file(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl")
    run_well("convert-textcat", path, tmp_path / "new" / "out.spacy")
    assert len(read_docs(tmp_path / "new" / "out.spacy")) == 3


def test_names_with_dots_stay_apart(tmp_path):
    write_rows(tmp_path / "news.train.jsonl")
    write_rows(tmp_path / "news.dev.jsonl", ROWS[:2])
    run_well("convert-textcat", tmp_path, tmp_path / "out")
    sizes = {path.name: len(read_docs(path)) for path in (tmp_path / "out").iterdir()}
    assert sizes == {"news.train.spacy": 3, "news.dev.spacy": 2}


def test_two_files_of_one_name(tmp_path):
    write_rows(tmp_path / "train.jsonl")
    write_rows(tmp_path / "train.jsonl.gz", ROWS[:2])
    code, output = run("convert-textcat", tmp_path, tmp_path / "out")
    assert code == 1 and "[E524]" in output and not (tmp_path / "out").exists()


def test_the_language_is_that_of_the_tokenizer(tmp_path):
    path = write_rows(tmp_path / "train.jsonl", [{"text": "l'acqua dell'Arno", "label": "nature"}])
    lengths = {}
    for lang in ("en", "it"):
        run_well("convert-textcat", path, tmp_path / lang, "--lang", lang)
        (doc,) = read_docs(tmp_path / lang / "train.spacy", lang)
        lengths[lang] = len(doc)
    assert lengths["it"] == 4 > lengths["en"]


def test_the_same_rows_give_the_same_docs(tmp_path):
    path = write_rows(tmp_path / "train.jsonl")
    for name in ("one", "two"):
        run_well("convert-textcat", path, tmp_path / name)
    first, second = (read_docs(tmp_path / name / "train.spacy") for name in ("one", "two"))
    assert [doc.to_json() for doc in first] == [doc.to_json() for doc in second]


@pytest.mark.parametrize(
    "line, found",
    [
        ('{"text": "no label"}', "{'text': 'no label'}"),
        ('{"text": "a number", "label": 1}', "{'text': 'a number', 'label': 1}"),
        ('{"text": null, "label": "money"}', "{'text': None, 'label': 'money'}"),
        ('["text", "label"]', "{}"),
        ("text", "{}"),
        ("[" * 100_000, "{}"),
        (r'{"text": "half \ud83d", "label": "money"}', "{'text': 'half \\ud83d'"),
    ],
)
def test_a_row_that_is_no_example(line, found, tmp_path):
    path = write_rows(tmp_path / "train.jsonl", ROWS[:1])
    with path.open("a", encoding="utf8") as file:
        file.write(line + "\n")
    code, output = run("convert-textcat", path, tmp_path / "out")
    assert code == 1
    assert "[E511] Row 2 of" in output
    assert "train.jsonl is not an object with the strings" in output and found in output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("train.jsonl", b"", "There is no text in"),
        ("train.jsonl", b'{"text": "caf\xe9", "label": "a"}', "UTF-8: 'utf-8' codec can't decode"),
        (
            "train.jsonl.gz",
            gzip.compress(b"x" * 99, mtime=0)[:-9],
            "in UTF-8: Compressed file ended before",
        ),
        ("train.jsonl.gz", b"{}", "in UTF-8: Not a gzipped file"),
    ],
)
def test_a_file_that_cannot_be_read(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    code, output = run("convert-textcat", tmp_path / name, tmp_path / "out")
    assert code == 1 and output.count("[E") == 1
    assert message in output.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_a_directory_without_data(tmp_path):
    (tmp_path / "notes.txt").write_text("not data", encoding="utf8")
    code, output = run("convert-textcat", tmp_path, tmp_path / "out")
    assert code == 1
    assert "[E512]" in output and "['.jsonl', '.jsonl.gz']" in output


def test_a_path_that_does_not_exist(tmp_path):
    code, output = run("convert-textcat", tmp_path / "nothing.jsonl", tmp_path / "out")
    assert code == 2
    assert "does not exist" in output


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "train.jsonl")
    run_well("convert-textcat", path, tmp_path / "out")
    before = (tmp_path / "out" / "train.spacy").read_bytes()
    write_bytes = Path.write_bytes

    def fail(self, data):
        write_bytes(self, data[:10])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    code, output = run("convert-textcat", path, tmp_path / "out", "--force")
    assert code == 1 and "disk full" in output
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["train.spacy"]
    assert (tmp_path / "out" / "train.spacy").read_bytes() == before
