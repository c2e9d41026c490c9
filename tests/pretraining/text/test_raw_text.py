"""Every kind of file gives the same documents, and what cannot be read is named."""

import bz2
import gzip
import json
import lzma
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin
from spacy.util import registry
from thinc.api import Config

from spacy_ctxemb.pretraining.text.raw_text import TextCorpus

from ...docs.pages import read_excerpt

#: A document begins and ends anywhere but with white space.
DOCUMENTS = [
    ["A heron.", "It waits."],
    ["Über dem Fluß!"],
    ["She\u2028took a loan.", "He did not."],
]

COMPRESSIONS: dict[str, Callable[..., bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def write(path: Path, text: str) -> TextCorpus:
    path.write_bytes(COMPRESSIONS.get(path.suffix, bytes)(text.encode("utf8")))
    return TextCorpus(str(path))


def join_sentences(documents: Sequence[Sequence[str]] = DOCUMENTS) -> str:
    return "\n\n".join(map("\n".join, documents)) + "\n"


def write_docs(path: Path, documents: Sequence[Sequence[str]], *, split: bool) -> TextCorpus:
    """A DocBin, with sentences annotated or not."""
    nlp = spacy.blank("en")
    docs = [nlp(" ".join(texts)) for texts in documents]
    for doc, texts in zip(docs, documents, strict=True):
        starts = np.cumsum([0, *(len(nlp(text)) for text in texts)])
        for token in doc if split else []:
            token.is_sent_start = token.i in starts
    DocBin(docs=docs).to_disk(path)
    return TextCorpus(str(path))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_sentences_a_line(tmp_path: Path, compression: str) -> None:
    corpus = write(tmp_path / f"a.txt{compression}", join_sentences())
    assert list(corpus) == list(corpus) == DOCUMENTS


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_json_lines(tmp_path: Path, compression: str) -> None:
    lines = [json.dumps({"id": 3, "text": f" {d[0]}\n"}) for d in DOCUMENTS]
    text = "\n\n".join([*lines, json.dumps({"text": " \n"})])
    corpus = write(tmp_path / f"a.jsonl{compression}", text)
    assert list(corpus) == [[d[0]] for d in DOCUMENTS]


def test_documents_a_line(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", join_sentences([["One. Two."], ["Three."]]))
    corpus = TextCorpus(str(tmp_path / "a.txt"), layout="documents")
    assert list(corpus) == [["One. Two."], ["Three."]]


def test_other_line_ends_a_mark_and_blanks_change_nothing(tmp_path: Path) -> None:
    text = "\ufeff\n \n" + join_sentences().replace("\n\n", "\n \n\t\n").replace("\n", "\r\n")
    assert list(write(tmp_path / "a.txt", text)) == DOCUMENTS


def test_docs_with_sentences(tmp_path: Path) -> None:
    assert list(write_docs(tmp_path / "a.spacy", DOCUMENTS, split=True)) == DOCUMENTS


def test_docs_without_sentences(tmp_path: Path) -> None:
    corpus = write_docs(tmp_path / "a.spacy", DOCUMENTS, split=False)
    assert list(corpus) == [[" ".join(d)] for d in DOCUMENTS]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    texts = [*(d[0] for d in DOCUMENTS), None, " "]
    table = pyarrow.table({"n": range(5), "body": texts})
    write_table(table, tmp_path / "a.parquet", row_group_size=2)
    corpus = TextCorpus(str(tmp_path / "a.parquet"), text_field="body")
    assert list(corpus) == [[d[0]] for d in DOCUMENTS]
    with pytest.raises(ValueError, match=r"E409\].*no column 'text' of text; there are body\."):
        list(TextCorpus(str(tmp_path / "a.parquet")))
    write(tmp_path / "a.parquet", "nothing")
    with pytest.raises(ValueError, match=r"E405\].*a\.parquet cannot be read"):
        list(corpus)


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    corpus = write(tmp_path / "a.parquet", "")
    with pytest.raises(ImportError, match=r"E408\].*a\.parquet.*pip install pyarrow"):
        list(corpus)


def test_folders_and_files_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("b/c/1.txt", "b/2.txt.gz", "b/10.jsonl", "b/notes.md", "a.txt", "b/3.spacy.gz"):
        write(tmp_path / name, json.dumps({"text": name}) if "json" in name else name)
    corpus = TextCorpus([str(tmp_path / "b"), str(tmp_path / "a.txt")])
    assert list(corpus) == [["b/10.jsonl"], ["b/2.txt.gz"], ["b/c/1.txt"], ["a.txt"]]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_limit_counts_documents_over_files(tmp_path: Path, limit: int) -> None:
    write(tmp_path / "a.txt", join_sentences(DOCUMENTS[:1]))
    write(tmp_path / "b.txt", join_sentences(DOCUMENTS[1:]))
    assert list(TextCorpus(str(tmp_path), limit=limit)) == DOCUMENTS[:limit]


def test_it_is_registered(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "One. Two.")
    section = {"@misc": "spacy-ctxemb.TextCorpus.v1", "path": str(tmp_path), "layout": "documents"}
    assert list(registry.resolve({"corpus": section})["corpus"]) == [["One. Two."]]


def test_the_excerpt_of_the_docs_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    write(tmp_path / "text.txt", join_sentences())
    write(tmp_path / "more" / "a.jsonl.gz", '{"text": "More."}')
    config = Config().from_str(f"[pretrain]\n{read_excerpt('a corpus')}")
    assert list(registry.resolve(config["pretrain"])["train"]) == [*DOCUMENTS, ["More."]]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"E400\].*layout 'words'.*sentences, documents"):
        TextCorpus("a.txt", layout="words")
    with pytest.raises(ValueError, match=r"E401\].*limit is 0, but must be at least 1"):
        TextCorpus("a.txt", limit=0)


@pytest.mark.parametrize("path", [None, []])
def test_a_path_is_needed(path: list[str] | None) -> None:
    with pytest.raises(ValueError, match=r"E402\].*from None, which is not there"):
        list(TextCorpus(path))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"E402\].*gone\.txt, which is not there"):
        list(TextCorpus(str(tmp_path / "gone.txt")))


def test_blank_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"E403\].*no text in .*a\.txt"):
        list(write(tmp_path / "a.txt", " \n\n\t\n"))


@pytest.mark.parametrize("name", ["a.md", "a", "a.spacy.gz", "a.gz", "folder"])
def test_unknown_kinds_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    if name != "folder":
        write(tmp_path / name, "text")
    with pytest.raises(ValueError, match=rf"E404\] .*{name} has none of .*\.txt, \.jsonl, \.spacy"):
        list(TextCorpus(str(tmp_path / name)))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_files_cut_short_are_refused(tmp_path: Path, compression: str) -> None:
    data = COMPRESSIONS[compression](join_sentences().encode("utf8"))
    path = tmp_path / f"a.txt{compression}"
    cut = data.index("ß".encode()) + 1 if not compression else len(data) // 2
    path.write_bytes(data[:cut])
    with pytest.raises(ValueError, match=rf"E405\].*a\.txt{compression} cannot be read: "):
        list(TextCorpus(str(path)))


def test_a_file_of_docs_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"E405\].*a\.spacy cannot be read: "):
        list(write(tmp_path / "a.spacy", "no docs"))


def test_bad_json_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"E406\] Line 3 of .*a\.jsonl is no JSON: Expecting"):
        list(write(tmp_path / "a.jsonl", '{"text": "a"}\n\n{"text": oops}\n'))


@pytest.mark.parametrize("record", ['{"body": "b"}', '{"text": 3}', '["text"]'])
def test_json_without_the_field_is_refused(tmp_path: Path, record: str) -> None:
    with pytest.raises(ValueError, match=r"E407\] Line 2 of .*a\.jsonl has no text .*'text'"):
        list(write(tmp_path / "a.jsonl", f'{{"text": "a"}}\n{record}\n'))
