"""The one way from a partition of texts to a Parquet file, whoever asks for it."""

import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import spacy
from spacy.language import Language
from thinc.api import require_gpu

from ..atomic_files import replacing
from ..bulk.encode import Passages, Text, fill_buffers, find_width, iter_encode
from ..bulk.encoder_digest import digest_encoder
from ..errors import Errors, is_coded
from ..read_files import coding_errors, describe, is_failure
from .partitions import Partition, read_partition, to_texts
from .tables import build_schema, to_table


class Job(NamedTuple):
    """What each worker is told.

    pipeline: a path or the name of a package. Level, spans_key and dtype are those of
    `spacy_ctxemb.encode`. text_field, id_field: of .jsonl and .parquet. gpu_id: -1 for the CPU.
    encoder: the digest of the pipeline's. folder: for the partitions.
    """

    pipeline: str
    level: str
    spans_key: str | None
    dtype: str
    text_field: str
    id_field: str
    gpu_id: int
    encoder: str = ""
    folder: str = ""


class Result(NamedTuple):
    """What has become of a partition. first_failed: the first text that failed, and why. error: why
    the partition could not be written, with its code."""

    name: str
    n_texts: int
    n_rows: int
    n_failed: int
    first_failed: str = ""
    error: str = ""


class Failed(NamedTuple):
    """A text that raised an error. place: its number among all texts."""

    id: str
    place: int
    error: str
    message: str


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
            message = str(error) if is_coded(error) else other
            return Result(partition.name, 0, 0, 0, error=message)


def load_pipeline(job: Job, gpu_id: int) -> Language:
    """Load the pipeline of a job. Raises E521 for a GPU that cannot be used, E832 where its
    encoder is another one than where the run was started."""
    if gpu_id >= 0:
        with coding_errors(Errors.E521, gpu_id=gpu_id):
            require_gpu(gpu_id)
    nlp = spacy.load(job.pipeline)
    if digest_encoder(nlp) != job.encoder:
        raise ValueError(Errors.E832.format(pipeline=job.pipeline, host=platform.node()))
    return nlp


def locate(pipeline: str | Path) -> str:
    """A path that also holds in another process; the name of a package stays as it is."""
    path = Path(pipeline)
    return str(path.resolve() if path.exists() else pipeline)


def write_partition(nlp: Language, job: Job, partition: Partition) -> Result:
    """Encode the texts of a partition, and write its file whole or not at all.

    The same pipeline, job and partition give the same file. Memory holds a few thousand texts.
    Texts that fail are in a file beside it, which is written first. Raises E164, E405, E408, E409
    and E831.
    """
    import pyarrow.parquet

    path = Path(job.folder) / partition.name
    metadata = {"encoder": job.encoder, "level": job.level}
    schema = build_schema(find_width(nlp), job.dtype, metadata)
    failed: list[Failed] = []
    n_rows, first = 0, partition.first
    rows = read_partition(partition, nlp.vocab, job.text_field, job.id_field)
    with replacing(path) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
            for buffer in fill_buffers(to_texts(rows)):
                for passages in encode_rest(nlp, job, buffer, first, failed):
                    writer.write_table(to_table(passages).cast(schema))
                    n_rows += len(passages.ids)
                first += len(buffer)
            counts = {"texts": str(partition.n), "failed": str(len(failed))}
            writer.add_key_value_metadata(counts)
        write_failed(failed, find_side_file(path))
    first_failed = f"{failed[0].id!r}: {failed[0].message}" if failed else ""
    return Result(partition.name, partition.n, n_rows, len(failed), first_failed)


def encode_rest(
    nlp: Language, job: Job, texts: Sequence[Text], first: int, failed: list[Failed]
) -> Iterator[Passages]:
    """Encode all texts but those that raise an error, which are appended to `failed`.

    What fails is halved until one text is left. first: the number of the first text.
    """
    found: Iterable[Passages]
    try:
        found = encode_together(nlp, job, texts, first)
    except BaseException as error:
        if not can_go_on(error):
            raise
        if len(texts) == 1:
            id = first if texts[0].id is None else texts[0].id
            failed.append(Failed(str(id), first, type(error).__name__, str(error)))
            return
        middle = len(texts) // 2
        found = chain(
            encode_rest(nlp, job, texts[:middle], first, failed),
            encode_rest(nlp, job, texts[middle:], first + middle, failed),
        )
    yield from found


def can_go_on(error: BaseException) -> bool:
    """Whether other texts may do better: not after an interrupt, or once a GPU has failed."""
    is_one_texts = is_failure(error) or isinstance(error, MemoryError)
    return is_one_texts and "CUDA error" not in str(error)


def encode_together(nlp: Language, job: Job, texts: Sequence[Text], first: int) -> list[Passages]:
    items: list[Any] = []
    for text in texts:
        if isinstance(text.content, Exception):
            raise text.content
        items.append((text.content, text.id))
    found = iter_encode(
        nlp, items, job.level, spans_key=job.spans_key, dtype=job.dtype, first_id=first
    )
    return list(found)


def write_failed(failed: Sequence[Failed], path: Path) -> None:
    """A line of JSON for each text that failed; no file where none did."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary:
        lines = [json.dumps(row._asdict()) + "\n" for row in failed]
        temporary.write_text("".join(lines), encoding="ascii")


def find_side_file(path: Path) -> Path:
    """Where the texts of a partition are that failed. Readers of Parquet skip names with _."""
    return path.with_name(f"_failed-{path.stem}.jsonl")
