"""A tiny pipeline on disk, texts, and what is written of them."""

import json
from pathlib import Path
from typing import Any

import spacy

from spacy_ctxemb.bulk.encoder_digest import digest_files
from spacy_ctxemb.scale.encode_rows import Job
from spacy_ctxemb.scale.partitions import Partition, cut

from ..search.index_of_few import build_pipeline


def write_inputs(folder: Path, n: int) -> tuple[Path, Path]:
    """A pipeline, and n texts, the third of which fails."""
    pipeline, texts = folder / "pipeline", folder / "texts.jsonl"
    build_pipeline().to_disk(pipeline)
    rows = [{"text": f"Otters number {i} slept. " * (1 + i % 5), "id": f"t{i}"} for i in range(n)]
    rows[2]["text"] = "\ud800"
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pipeline, texts


def build_job(pipeline: Path, folder: Path, **settings: Any) -> Job:
    folder.mkdir(exist_ok=True)
    job = Job(str(pipeline), "doc", None, "float32", "text", "id", -1)
    files = digest_files(spacy.load(pipeline))
    return job._replace(**{"files": files, "folder": str(folder), **settings})


def cut_texts(texts: Path, n: int) -> list[Partition]:
    return cut(texts, n, "text")[0]


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files that hold vectors or failures, byte by byte."""
    paths = [*folder.glob("[0-9]*.parquet"), *folder.glob("_failed-*")]
    return {path.name: path.read_bytes() for path in paths}
