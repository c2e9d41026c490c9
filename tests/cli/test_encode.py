"""`python -m spacy ctxemb encode`"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin

from spacy_ctxemb.bulk import encode as module
from spacy_ctxemb.bulk.parquet_parts import Parts, locking

from ..search.index_of_few import TEXTS, build_pipeline
from .command import run, run_well
from .test_full_disk import small_files

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipelines") / "pipeline"
    build_pipeline().to_disk(path)
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    rows = [{"text": text, "id": id} for text, id in TEXTS]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": ""}]))
    return path


def read(path: Path) -> Any:
    return pq.read_table(path).to_pydict()


def test_sentences(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    found = run_well("encode", pipeline, texts, output, "--level", "sent", "--dtype", "float16")
    assert "Wrote 6 vectors of 4 texts" in found
    table = read(output)
    nlp = spacy.load(pipeline)
    sents = [(id, sent) for text, id in TEXTS for sent in nlp(text).sents]
    assert table["id"] == [id for id, _ in sents]
    assert table["text"] == [sent.text for _, sent in sents]
    assert list(zip(table["start"], table["end"], strict=True)) == [
        (sent.start_char, sent.end_char) for _, sent in sents
    ]
    np.testing.assert_allclose(table["vector"], [sent.vector for _, sent in sents], atol=5e-3)
    assert str(pq.read_schema(output).field("vector").type) == (
        "fixed_size_list<element: halffloat>[16]"
    )
    assert not Parts(output).folder.exists()


@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".spacy", ".parquet"])
def test_kinds_of_files(pipeline: Path, tmp_path: Path, kind: str) -> None:
    import pyarrow as pa

    texts = [text for text, _ in TEXTS]
    path = tmp_path / f"texts{kind}"
    if kind == ".txt":
        path.write_text("\n\n".join(texts))
    elif kind == ".jsonl":
        path.write_text(
            "".join(json.dumps({"body": x, "n": i}) + "\n" for i, x in enumerate(texts))
        )
    elif kind == ".spacy":
        nlp = spacy.blank("en")
        DocBin(docs=[nlp(text) for text in texts]).to_disk(path)
    else:
        pq.write_table(pa.table({"body": texts, "n": [0, 1, 2]}), path)
    fields = ("--text-field", "body", "--id-field", "n") if kind in (".jsonl", ".parquet") else ()
    run_well("encode", pipeline, path, tmp_path / "out.parquet", *fields)
    table = read(tmp_path / "out.parquet")
    assert table["id"] == ["0", "1", "2"] and table["text"] == texts
    nlp = spacy.load(pipeline)
    np.testing.assert_allclose(table["vector"], [nlp(text).vector for text in texts], atol=1e-5)


def stop_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of one text, and an interrupt in the place of the one that follows n of them."""
    monkeypatch.setattr(module, "MAX_TEXTS", 1)
    add = Parts.add

    def stop(self: Parts, passages: Any, first: int) -> None:
        if first == n:
            raise KeyboardInterrupt
        add(self, passages, first)

    monkeypatch.setattr(Parts, "add", stop)


def test_a_stopped_run_goes_on(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    whole, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    command: list[Any] = ["encode", pipeline, texts]
    run_well(*command, whole, "--level", "sent")
    for n in (0, 1, 3):
        with pytest.MonkeyPatch.context() as monkeypatch:
            stop_after(n, monkeypatch)
            run(*command, output, "--level", "sent")
        assert not output.exists()
        assert len(Parts(output).list_parts()) == n
    code, message = run(*command, output, "--level", "doc")
    assert code == 1 and "E710" in message and "level was 'sent' there, and is 'doc' now" in message
    assert "Going on after 3 texts" in run_well(*command, output, "--level", "sent")
    found, expected = read(output), read(whole)
    np.testing.assert_allclose(found.pop("vector"), expected.pop("vector"), atol=1e-5)
    assert found == expected
    assert not Parts(output).folder.exists()


def test_other_texts_than_before(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        run("encode", pipeline, texts, output)
    texts.write_text(json.dumps({"text": "other"}) + "\n")
    code, message = run("encode", pipeline, texts, output)
    assert code == 1 and "E710" in message and "texts was" in message
    assert "1 vectors of 1 texts" in run_well("encode", pipeline, texts, output, "--force")


@pytest.mark.parametrize("name", ["tokenizer", "sentencizer"])
def test_another_pipeline_than_before(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        run("encode", pipeline, texts, output)
    nlp = spacy.load(pipeline)
    if name == "tokenizer":
        nlp.tokenizer.add_special_case("bank", [{"ORTH": "ba"}, {"ORTH": "nk"}])
    else:
        nlp.get_pipe(name).punct_chars = {"!"}  # type: ignore[attr-defined]
    nlp.to_disk(tmp_path / "other")
    code, message = run("encode", tmp_path / "other", texts, output)
    assert code == 1 and "E710" in message and "pipeline was" in message


def test_outputs_among_the_texts(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    for source, output in ((tmp_path, tmp_path / "out.parquet"), (texts, texts)):
        code, message = run("encode", pipeline, source, output, "--force")
        assert code == 1 and "E726" in message and "among the texts" in message
    (tmp_path / "folder").mkdir()
    code, message = run("encode", pipeline, texts, tmp_path / "folder", "--force")
    assert code == 1 and "E726" in message and "is a folder" in message
    assert {path.name for path in tmp_path.iterdir()} == {"texts.jsonl", "folder"}


def test_a_part_that_is_missing(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        run("encode", pipeline, texts, output)
    Parts(output).list_parts()[0].unlink()
    code, message = run("encode", pipeline, texts, output)
    assert code == 1 and "E712" in message and "after text 0 comes 000000000001-" in message


def test_two_runs_at_once(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.parquet")
    parts.folder.mkdir()
    with locking(parts.folder):
        code, message = run("encode", pipeline, texts, parts.output)
    assert code == 1 and "E711" in message


def test_a_file_that_is_there(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    output.write_bytes(b"mine")
    code, message = run("encode", pipeline, texts, output)
    assert code == 1 and "E510" in message and output.read_bytes() == b"mine"


def test_no_sentences(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    nlp = spacy.load(pipeline, exclude=["sentencizer"])
    nlp.to_disk(tmp_path / "bare")
    code, message = run("encode", tmp_path / "bare", texts, tmp_path / "out", "--level", "sent")
    assert code == 1 and "E702" in message and "sentencizer" in message
    assert not (tmp_path / "out").exists()
    run_well("encode", tmp_path / "bare", texts, tmp_path / "out")  # nothing of it was kept


def test_a_part_that_is_damaged(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        run("encode", pipeline, texts, output)
    Parts(output).list_parts()[1].write_bytes(b"PAR1")
    code, message = run("encode", pipeline, texts, output)
    assert code == 1 and "E163" in message and "Remove the folder" in message
    assert not output.exists()
    run_well("encode", pipeline, texts, output, "--force")


def test_a_disk_that_is_full(pipeline: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "texts.txt", tmp_path / "out.parquet"
    path.write_text("".join(f"Otters number {i}.\n" for i in range(300)))
    with small_files():
        code, message = run("encode", pipeline, path, output)
    assert code == 1 and "E164" in message and not output.exists()
    assert "Wrote 300 vectors" in run_well("encode", pipeline, path, output)
