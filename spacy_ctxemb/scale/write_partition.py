"""The one way from a partition of texts to a Parquet file, whoever asks for it."""

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import spacy
from spacy.language import Language
from thinc.api import require_gpu

from ..atomic_files import replacing
from ..bulk.encode import Passages, find_width
from ..bulk.encoder_digest import digest_files
from ..errors import Errors, is_coded
from ..read_files import coding_errors, describe
from .encode_rows import Failed, Job, encode_rows
from .partitions import Partition, read_partition

if TYPE_CHECKING:
    import pyarrow


class Result(NamedTuple):
    """What has become of a partition. error: why it could not be written, with its code."""

    name: str
    n_texts: int = 0
    n_rows: int = 0
    n_failed: int = 0
    error: str = ""


class PartitionWriter:
    """Writes partitions in this process. nlp: None to load the pipeline, on gpu_id, once it is
    needed."""

    def __init__(self, job: Job, gpu_id: int, nlp: Language | None = None) -> None:
        self.job, self.gpu_id, self.nlp = job, gpu_id, nlp

    def write(self, partition: Partition) -> Result:
        """`write_partition`, whose errors become part of the result, as this passes between
        processes."""
        try:
            self.nlp = self.nlp or load_pipeline(self.job, self.gpu_id)
            return write_partition(self.nlp, self.job, partition)
        except Exception as error:
            kind, reason = type(error).__name__, describe(error)
            other = Errors.E833.format(name=partition.name, kind=kind, reason=reason)
            return Result(partition.name, error=str(error) if is_coded(error) else other)


def load_pipeline(job: Job, gpu_id: int) -> Language:
    """Load the pipeline of a job. Raises E521 for a GPU that cannot be used, E832 where it is
    another one than where the run was started."""
    if gpu_id >= 0:
        with coding_errors(Errors.E521, gpu_id=gpu_id):
            require_gpu(gpu_id)
    nlp = spacy.load(job.pipeline)
    if digest_files(nlp) != job.files:
        raise ValueError(Errors.E832.format(pipeline=job.pipeline, host=platform.node()))
    return nlp


def locate(pipeline: str | Path) -> str:
    """A path that also holds in another process; the name of a package stays as it is."""
    path = Path(pipeline)
    return str(path.resolve() if path.exists() else pipeline)


def write_partition(nlp: Language, job: Job, partition: Partition) -> Result:
    """Encode the texts of a partition, and write its file whole or not at all.

    The same pipeline, job and partition give the same file. Memory holds a few thousand texts.
    Texts that fail are in a file beside it, which is written first. Raises E164, E405, E408, E409,
    E831, and E834 where texts fail and none gets a vector.
    """
    import pyarrow.parquet

    path = Path(job.folder) / partition.name
    side_file = find_side_file(path)
    schema = build_schema(find_width(nlp), job)
    failed: list[Failed] = []
    n_rows = 0
    rows = read_partition(partition, nlp.vocab, job.text_field, job.id_field)
    with replacing(path) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
            for passages in encode_rows(nlp, job, rows, partition.first, failed):
                writer.write_table(to_table(passages).cast(schema))
                n_rows += len(passages.ids)
            counts = {"texts": str(partition.n), "failed": str(len(failed))}
            writer.add_key_value_metadata({**counts, "asked": job.asked})
        if failed:
            failed.sort(key=lambda row: row.place)
            with replacing(side_file) as unfinished:
                lines = [json.dumps(row._asdict()) + "\n" for row in failed]
                unfinished.write_text("".join(lines), encoding="ascii")
    if not failed:
        side_file.unlink(missing_ok=True)
    return Result(partition.name, partition.n, n_rows, len(failed))


def find_side_file(path: Path) -> Path:
    """Where the texts of a partition are that failed. Readers of Parquet skip names with _."""
    return path.with_name(f"_failed-{path.stem}.jsonl")


def to_table(passages: Passages) -> "pyarrow.Table":
    """The columns id, text, start, end, label and vector."""
    import pyarrow as pa

    n, width = passages.vectors.shape
    texts, starts, ends, labels = zip(*passages.stretches, strict=True) if n else [()] * 4
    values = pa.array(passages.vectors.reshape(-1))
    return pa.table(
        {
            "id": pa.array(passages.ids, pa.string()),
            "text": pa.array(texts, pa.string()),
            "start": pa.array(starts, pa.int64()),
            "end": pa.array(ends, pa.int64()),
            "label": pa.array(labels, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(values, width),
        }
    )


def build_schema(width: int, job: Job) -> "pyarrow.Schema":
    """The schema of a table, also of one without rows."""
    empty = Passages([], [], np.zeros((0, width), dtype=job.dtype), 0)
    return to_table(empty).schema.with_metadata({"encoder": job.encoder, "level": job.level})


def import_extra(module: str, extra: str, what: str) -> Any:
    """The package of a module that not all users need. Raises ImportError E708 without it."""
    package = module.partition(".")[0]
    try:
        return __import__(module)  # which returns the package
    except ImportError as error:
        values = {"what": what, "package": package, "extra": extra}
        raise ImportError(Errors.E708.format(**values)) from error
