"""`python -m spacy ctxemb encode`"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin

from spacy_ctxemb.scale import encode_files, encode_rows
from spacy_ctxemb.scale.output_folder import MANIFEST, locking
from spacy_ctxemb.scale.write_partition import PartitionWriter

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


def find_parts(output: Path) -> Path:
    """Where partitions are until they are joined."""
    return output.with_name(f"{output.name}.parts")


def list_partitions(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.parquet"))


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
    assert not find_parts(output).exists()


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


ONE = ("--rows-per-partition", "1")


def stop_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt in the place of the partition that begins with text n."""
    write = PartitionWriter.write

    def stop(self: PartitionWriter, partition: Any) -> Any:
        if partition.first == n:
            raise KeyboardInterrupt
        return write(self, partition)

    monkeypatch.setattr(PartitionWriter, "write", stop)


def test_a_stopped_run_goes_on(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    whole, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    command: list[Any] = ["encode", *ONE, pipeline, texts]
    run_well(*command, whole, "--level", "sent")
    for n in (0, 1, 3):
        with pytest.MonkeyPatch.context() as monkeypatch:
            stop_after(n, monkeypatch)
            run(*command, output, "--level", "sent")
        assert not output.exists()
        assert len(list_partitions(find_parts(output))) == n
    code, message = run(*command, output, "--level", "doc")
    assert code == 1 and "E710" in message and "level was 'sent' there, and is 'doc' now" in message
    assert "Going on after 3 texts" in run_well(*command, output, "--level", "sent")
    found, expected = read(output), read(whole)
    np.testing.assert_allclose(found.pop("vector"), expected.pop("vector"), atol=1e-5)
    assert found == expected
    assert not find_parts(output).exists()


def test_other_texts_than_before(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        run("encode", *ONE, pipeline, texts, output)
    texts.write_text(json.dumps({"text": "other"}) + "\n")
    code, message = run("encode", *ONE, pipeline, texts, output)
    assert code == 1 and "E710" in message and "texts.jsonl was" in message
    assert "1 vectors of 1 texts" in run_well("encode", pipeline, texts, output, "--force")


@pytest.mark.parametrize("name", ["tokenizer", "sentencizer"])
def test_another_pipeline_than_before(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        run("encode", *ONE, pipeline, texts, output)
    nlp = spacy.load(pipeline)
    if name == "tokenizer":
        nlp.tokenizer.add_special_case("bank", [{"ORTH": "ba"}, {"ORTH": "nk"}])
    else:
        nlp.get_pipe(name).punct_chars = {"!"}  # type: ignore[attr-defined]
    nlp.to_disk(tmp_path / "other")
    code, message = run("encode", *ONE, tmp_path / "other", texts, output)
    assert code == 1 and "E710" in message and "pipeline was" in message


def test_outputs_that_cannot_be(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    for source, output in ((tmp_path, tmp_path / "out.parquet"), (texts, texts)):
        code, message = run("encode", pipeline, source, output, "--force")
        assert code == 1 and "E726" in message and "among the texts" in message
    (tmp_path / "folder.parquet").mkdir()
    code, message = run("encode", pipeline, texts, tmp_path / "folder.parquet", "--force")
    assert code == 1 and "E726" in message and "is a folder" in message
    (tmp_path / "file").write_text("mine")
    code, message = run("encode", pipeline, texts, tmp_path / "file", "--force")
    assert code == 1 and "E726" in message and "is a file" in message
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    code, message = run("encode", pipeline, texts, tmp_path / "mine", "--force")
    assert code == 1 and "E830" in message and "letter.txt" in message
    names = {"texts.jsonl", "folder.parquet", "file", "mine"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_partition_that_is_missing(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        run("encode", *ONE, pipeline, texts, output)
    list_partitions(find_parts(output))[0].unlink()
    assert "Going on after 1 texts" in run_well("encode", *ONE, pipeline, texts, output)
    assert read(output)["id"] == ["otters", "money", "heron", "3"]


def test_two_runs_at_once(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with locking(folder):
        code, message = run("encode", pipeline, texts, folder)
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
    assert code == 1 and "E834" in message and "E702" in message and "sentencizer" in message
    assert not list_partitions(tmp_path / "out")
    run_well("encode", tmp_path / "bare", texts, tmp_path / "out")  # nothing of it was kept


def test_a_retry_that_fails_keeps_what_is_done(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = tmp_path / "texts.txt", tmp_path / "out"
    path.write_text("".join(f"Otters number {i}.\n" for i in range(4)) + "long " * 250000)
    command = ("encode", "--rows-per-partition", "2", pipeline, path, folder)
    assert "1 of the texts failed" in run_well(*command)
    before = list_partitions(folder)
    monkeypatch.setattr(encode_rows, "iter_encode", fail)
    code, message = run(*command, "--retry-failed")
    assert code == 0 and list_partitions(folder) == before and len(before) == 3


def fail(*args: object, **settings: object) -> None:
    raise KeyError("nothing works")


def test_all_texts_fail_alike(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told after few texts, and not where lines cannot be read."""
    n_texts: list[int] = []

    def note(nlp: Any, items: list[Any], *args: object, **settings: object) -> None:
        n_texts.append(len(items))
        raise KeyError("nothing works")

    path = tmp_path / "texts.txt"
    path.write_text("Otters.\n" * 3000)
    with monkeypatch.context() as patched:
        patched.setattr(encode_rows, "iter_encode", note)
        code, message = run("encode", pipeline, path, tmp_path / "out")
    assert code == 1 and "[E834] 100 texts" in message and "nothing works" in message
    assert sum(n_texts) < 3 * 2048 and not list_partitions(tmp_path / "out")
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{no JSON\n" * 150 + json.dumps({"text": "Otters."}))
    assert "150 of the texts failed" in run_well("encode", pipeline, bad, tmp_path / "bad")
    bad.write_text("{no JSON\n" * 3)
    code, message = run("encode", pipeline, bad, tmp_path / "none.parquet")
    assert code == 1 and "[E834] 3 texts" in message and "_failed-" in message


def test_no_entities_are_no_failure(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    found = run_well("encode", pipeline, texts, tmp_path / "out", "--level", "span")
    assert "Wrote 0 vectors of 4 texts" in found


@pytest.mark.parametrize("name", ["out", "out.parquet"])
def test_no_texts(pipeline: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "texts.txt").write_text("\n")
    found = run_well("encode", pipeline, tmp_path / "texts.txt", tmp_path / name)
    assert "Wrote 0 vectors of 0 texts" in found and (tmp_path / name).exists()


def test_a_kill_after_the_file_is_whole(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or in a run with --force: the same command goes on."""
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        patched.setattr(encode_files, "clear", lambda folder: sys.exit(9))
        assert run("encode", pipeline, texts, output).code == 9
    assert output.exists() and find_parts(output).exists()
    assert "Going on after 4 texts" in run_well("encode", pipeline, texts, output)
    assert not find_parts(output).exists()


def test_hidden_files_are_nobodys(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".DS_Store").write_text("")
    run_well("encode", pipeline, texts, folder)
    run_well("encode", pipeline, texts, folder, "--force")
    assert (folder / ".DS_Store").exists()


def test_texts_in_the_output(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    run_well("encode", pipeline, texts, tmp_path / "out")
    (source,) = list_partitions(tmp_path / "out")
    code, message = run("encode", pipeline, source, tmp_path / "out", "--force")
    assert code == 1 and "E726" in message and "has the texts" in message and source.exists()
    run_well("encode", pipeline, tmp_path / "out", tmp_path / "again")  # its own names are skipped
    assert list(read(tmp_path / "again")["text"]) == read(source)["text"]


def test_what_costs_little_is_told_first(texts: Path, tmp_path: Path) -> None:
    """Before a pipeline is loaded, of which nothing is left if that fails."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    code, message = run("encode", tmp_path / "no pipeline", texts, tmp_path / "mine")
    assert code == 1 and "E830" in message
    with locking(tmp_path / "busy"):
        code, message = run("encode", tmp_path / "no pipeline", texts, tmp_path / "busy")
    assert code == 1 and "E711" in message
    assert run("encode", tmp_path / "no pipeline", texts, tmp_path / "out").code == 1
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "texts.jsonl"}


def test_a_partition_of_another_run(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    for level in ("doc", "sent"):
        run_well("encode", pipeline, texts, tmp_path / level, "--level", level)
    shutil.copy(list_partitions(tmp_path / "sent")[0], tmp_path / "doc")
    code, message = run("encode", pipeline, texts, tmp_path / "doc")
    assert code == 1 and "E710" in message and ".parquet has" in message


def test_other_partitions_are_done_first(pipeline: Path, tmp_path: Path) -> None:
    """An error ends a run that has written something when the rest is done."""
    source = tmp_path / "texts"
    source.mkdir()
    for name in "abc":
        (source / f"{name}.txt").write_text("Otters.\n")
    cut = encode_files.cut

    def change(*args: Any) -> Any:
        found = cut(*args)
        (source / "b.txt").write_text("Other otters.\n")
        return found

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(encode_files, "cut", change)
        code, message = run("encode", pipeline, source, tmp_path / "out")
    assert code == 1 and "E831" in message and "b.txt" in message
    assert len(list_partitions(tmp_path / "out")) == 2


def test_a_partition_that_is_damaged(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        run("encode", *ONE, pipeline, texts, output)
    damaged = list_partitions(find_parts(output))[1]
    damaged.write_bytes(b"PAR1")
    code, message = run("encode", *ONE, pipeline, texts, output)
    assert code == 1 and "E163" in message and "Remove it" in message
    assert not output.exists()
    damaged.unlink()
    run_well("encode", *ONE, pipeline, texts, output)


def test_a_folder_keeps_partitions(pipeline: Path, texts: Path, tmp_path: Path) -> None:
    folder, output = tmp_path / "out", tmp_path / "out.parquet"
    command = ("encode", "--rows-per-partition", "3", pipeline, texts)
    run_well(*command, folder)
    run_well(*command, output)
    names = [path.name for path in list_partitions(folder)]
    assert names == ["000000000000-000000000003.parquet", "000000000003-000000000004.parquet"]
    assert read(folder) == read(output)  # files that are no Parquet are skipped
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["asked"]["inputs"]["texts.jsonl"]["texts"] == 4
    before = {path: path.stat().st_mtime_ns for path in list_partitions(folder)}
    assert "Wrote 4 vectors of 4 texts" in run_well(*command, folder)
    assert {path: path.stat().st_mtime_ns for path in list_partitions(folder)} == before
    run_well(*command, folder, "--level", "token", "--force")
    assert len(read(folder)["id"]) > 4


#: Lines of .jsonl that fail, by a part of what is said about them.
BAD = {
    "E406": b"{no JSON",
    "E407": b'{"id": "no text"}',
    "E705": b'{"text": "one", "id": [1]}',
    "E706": b'{"text": "' + b"x" * 1_000_001 + b'"}',
    "E707": b'{"text": "\xff", "id": "latin"}',
}


def test_texts_that_fail(pipeline: Path, tmp_path: Path) -> None:
    path, folder = tmp_path / "texts.jsonl", tmp_path / "out"
    good = [json.dumps({"text": f"Otters number {i}."}).encode() for i in range(6)]
    lines = [line for pair in zip(good, BAD.values(), strict=False) for line in pair]
    path.write_bytes(b"\n".join([*lines, good[5]]))
    command = ("encode", pipeline, path)
    assert "5 of the texts failed" in run_well(*command, folder)
    assert read(folder)["id"] == ["0", "2", "4", "6", "8", "10"]
    (side_file,) = folder.glob("_failed-*")
    rows = [json.loads(line) for line in side_file.read_text().splitlines()]
    assert [row["place"] for row in rows] == [1, 3, 5, 7, 9]
    assert [row["id"] for row in rows] == ["1", "3", "[1]", "7", "latin"]
    assert all(row["error"] == "ValueError" for row in rows)
    for code, row in zip(BAD, rows, strict=True):
        assert code in row["message"]
    run_well(*command, tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet.failed.jsonl").read_text() == side_file.read_text()
    assert read(tmp_path / "out.parquet") == read(folder)


def test_failed_texts_are_tried_again(
    pipeline: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    command = ("encode", *ONE, pipeline, texts, folder)
    tried: list[int] = []
    write = PartitionWriter.write

    def fail(self: PartitionWriter, partition: Any) -> Any:
        assert self.nlp is not None
        tried.append(partition.first)
        self.nlp.max_length = 0 if partition.first == 1 else 1000
        return write(self, partition)

    with monkeypatch.context() as patched:
        patched.setattr(PartitionWriter, "write", fail)
        assert "1 of the texts failed" in run_well(*command)
        assert "1 of the texts failed" in run_well(*command)
    assert tried == [0, 1, 2, 3]
    found = run_well(*command, "--retry-failed")
    assert "of the texts failed" not in found and "Going on after 3 texts" in found
    assert not list(folder.glob("_failed-*"))
    assert read(folder)["id"] == ["otters", "money", "heron", "3"]


def test_a_disk_that_is_full(pipeline: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "texts.txt", tmp_path / "out.parquet"
    path.write_text("".join(f"Otters number {i}.\n" for i in range(300)))
    with small_files():
        code, message = run("encode", pipeline, path, output)
    assert code == 1 and "E164" in message and not output.exists()
    assert "Wrote 300 vectors" in run_well("encode", pipeline, path, output)
