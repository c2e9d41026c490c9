"""Partitions of files, and the texts in them."""

import gzip
import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_ctxemb.pretraining.text.raw_text import read_whole
from spacy_ctxemb.scale.partitions import Partition, cut, read_partition

TEXTS = ["one", "two words", "three", "four", "five", "six", "seven"]


def write(folder: Path, kind: str, texts: list[str] = TEXTS) -> Path:
    """A file of texts whose ids are t0, t1 and so on, where it has ids."""
    path = folder / f"texts{kind}"
    lines = texts
    if ".jsonl" in kind:
        lines = [json.dumps({"text": text, "id": f"t{i}"}) for i, text in enumerate(texts)]
    if kind == ".spacy":
        nlp = spacy.blank("en")
        DocBin(docs=[nlp(text) for text in texts]).to_disk(path)
    elif kind == ".parquet":
        pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
        import pyarrow as pa

        ids = [f"t{i}" for i in range(len(texts))]
        pq.write_table(pa.table({"text": texts, "id": ids}), path, row_group_size=3)
    else:
        content = "\n\n".join(lines).encode()
        path.write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
    return path


def read(partitions: list[Partition]) -> list[tuple[str, Any]]:
    rows = [row for x in partitions for row in read_partition(x, Vocab(), "text", "id")]
    return [(text if isinstance(text, str) else text.text, id) for text, id in rows]


def expect(path: Path) -> list[tuple[str, Any]]:
    """What is read in one go."""
    rows = read_whole(path, Vocab())
    return [(text if isinstance(text, str) else text.text, id) for text, id in rows]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("kind", [".txt", ".txt.gz", ".jsonl", ".jsonl.gz", ".spacy", ".parquet"])
def test_partitions_have_all_texts_in_their_order(tmp_path: Path, kind: str, n: int) -> None:
    path = write(tmp_path, kind)
    partitions, inputs = cut(path, n, "text")
    assert [x.n for x in partitions] == [min(n, 7 - i) for i in range(0, 7, n)]
    assert [x.first for x in partitions] == list(range(0, 7, n))
    assert read(partitions) == expect(path)
    assert [text for text, _ in read(partitions)] == TEXTS
    assert inputs[path.name]["texts"] == 7
    assert inputs[path.name]["bytes"] == path.stat().st_size


def test_no_partition_has_texts_of_two_files(tmp_path: Path) -> None:
    for kind in (".txt", ".jsonl", ".spacy"):
        write(tmp_path, kind, TEXTS[:3])
    (tmp_path / "empty.txt").write_text("\n\n")
    partitions, inputs = cut(tmp_path, 2, "text")
    assert [x.n for x in partitions] == [2, 1] * 3
    assert [x.first for x in partitions] == [0, *accumulate(x.n for x in partitions)][:-1]
    assert read(partitions) == expect(tmp_path)
    assert inputs["empty.txt"]["texts"] == 0
    assert partitions[0].name == "000000000000-000000000002.parquet"
    assert len({x.name for x in partitions}) == 6


@given(
    st.lists(st.sampled_from(["a", "ä b", "  ", "", "\u3000", "x\u2028y"]), max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.integers(1, 5),
)
def test_lines_are_those_of_other_readers(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, bom: bool, n: int
) -> None:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_bytes(end.join(lines).encode("utf-8-sig" if bom else "utf8"))
    assert read(cut(path, n, "text")[0]) == expect(path)


def test_lines_that_are_no_utf8_or_no_json(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n[]\n{"text": "b"}')
    (partition,) = cut(path, 10, "text")[0]
    rows = [text for text, _ in read_partition(partition, Vocab(), "text", "id")]
    assert rows[0] == "a" and rows[3] == "b"
    assert rows[1] == "\udcff"
    assert "E407" in str(rows[2]) and "Line 3 after byte 0" in str(rows[2])


@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".spacy", ".parquet"])
def test_texts_that_have_gone_meanwhile(tmp_path: Path, kind: str) -> None:
    partitions, _ = cut(write(tmp_path, kind), 3, "text")
    write(tmp_path, kind, TEXTS[:5])
    with pytest.raises(ValueError, match=r"\[E831\].*has changed"):
        read(partitions)


@pytest.mark.parametrize("kind", [".txt.gz", ".jsonl.gz", ".spacy", ".parquet"])
def test_files_that_are_damaged(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"\[E405\].*texts"):
        cut(path, 3, "text")


def test_a_column_that_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, ".parquet")
    with pytest.raises(ValueError, match=r"\[E409\].*body"):
        cut(path, 3, "body")
