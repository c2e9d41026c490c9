"""One partition: from texts to a file of vectors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spacy_ctxemb.bulk import encode as bulk
from spacy_ctxemb.scale.write_partition import PartitionWriter, Result, load_pipeline

from ..search.index_of_few import build_pipeline
from .texts import build_job, cut_texts, read_folder, write_inputs

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_inputs(tmp_path_factory.mktemp("inputs"), 20)


def write(job: Any, texts: Path, n: int = 100) -> list[Result]:
    writer = PartitionWriter(job, -1)
    return [writer.write(partition) for partition in cut_texts(texts, n)]


def test_vectors_are_those_of_the_pipeline(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    (result,) = write(build_job(inputs[0], tmp_path), inputs[1])
    assert result[:4] == ("000000000000-000000000020.parquet", 20, 19, 1)
    table = pq.read_table(tmp_path / result.name)
    assert table["id"].to_pylist() == [f"t{i}" for i in range(20) if i != 2]
    nlp = build_pipeline()
    expected = [nlp(text).vector for text in table["text"].to_pylist()]
    np.testing.assert_allclose(table["vector"].to_pylist(), expected, atol=1e-5)
    assert table.schema.metadata[b"level"] == b"doc"


def test_the_same_bytes_each_time(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if other partitions came before."""
    monkeypatch.setattr(bulk, "MAX_TEXTS", 3)
    one, other = tmp_path / "one", tmp_path / "other"
    write(build_job(inputs[0], one), inputs[1], 7)
    for partition in reversed(cut_texts(inputs[1], 7)):
        PartitionWriter(build_job(inputs[0], other), -1).write(partition)
    assert len(read_folder(one)) == 4
    assert read_folder(one) == read_folder(other)


def test_a_component_that_fails(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the texts that it fails on are missing; one that was mended is no longer noted."""
    nlp = build_pipeline()
    tokenizer = nlp.tokenizer

    def fail(text: str) -> Any:
        if "number 7 " in text:
            raise MemoryError("too long")
        if "number 11 " in text:
            raise KeyError("eleven")
        return tokenizer(text)

    job = build_job(inputs[0], tmp_path)
    (partition,) = cut_texts(inputs[1], 100)
    nlp.tokenizer = fail
    result = PartitionWriter(job, -1, nlp).write(partition)
    assert result.n_failed == 3 and result.n_rows == 17
    (side_file,) = tmp_path.glob("_failed-*")
    rows = [json.loads(line) for line in side_file.read_text().splitlines()]
    assert [(row["id"], row["place"], row["error"]) for row in rows] == [
        ("t2", 2, "ValueError"),
        ("t7", 7, "MemoryError"),
        ("t11", 11, "KeyError"),
    ]
    assert not nlp.vocab.in_memory_zone
    nlp.tokenizer = tokenizer
    assert PartitionWriter(job, -1, nlp).write(partition).n_failed == 1
    assert len(side_file.read_text().splitlines()) == 1


def test_an_interrupt_and_a_broken_gpu_stop(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    nlp = build_pipeline()
    (partition,) = cut_texts(inputs[1], 100)
    job = build_job(inputs[0], tmp_path)

    def interrupt(text: str) -> Any:
        raise KeyboardInterrupt

    def break_down(text: str) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    nlp.tokenizer = interrupt
    with pytest.raises(KeyboardInterrupt):
        PartitionWriter(job, -1, nlp).write(partition)
    nlp.tokenizer = break_down
    result = PartitionWriter(job, -1, nlp).write(partition)
    assert "[E833]" in result.error and "RuntimeError: CUDA error" in result.error
    assert read_folder(tmp_path) == {}


def test_another_pipeline_on_a_machine(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    job = build_job(inputs[0], tmp_path, files="another")
    with pytest.raises(ValueError, match=r"\[E832\].*pipeline"):
        load_pipeline(job, -1)
    assert all("E832" in result.error for result in write(job, inputs[1]))


def test_a_gpu_that_is_missing(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    (result,) = write(build_job(inputs[0], tmp_path), inputs[1])
    assert not result.error
    with pytest.raises(ValueError, match=r"\[E521\] GPU 99"):
        load_pipeline(build_job(inputs[0], tmp_path), 99)
