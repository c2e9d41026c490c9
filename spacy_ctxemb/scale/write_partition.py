"""The one way from a partition of texts to a Parquet file, whoever asks for it."""

import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import spacy
from spacy.language import Language
from thinc.api import require_gpu

from ..atomic_files import replacing
from ..bulk.encode import Passages, Text, fill_buffers, find_width, identify, iter_encode
from ..bulk.encoder_digest import digest_files
from ..errors import Errors, is_coded
from ..read_files import coding_errors, describe, is_failure
from .partitions import PARTITIONS, Partition, read_partition

if TYPE_CHECKING:
    import pyarrow


class Job(NamedTuple):
    """What each worker is told.

    pipeline: a path or the name of a package. Level, spans_key and dtype are those of
    `spacy_ctxemb.encode`. text_field, id_field: of .jsonl and .parquet. gpu_id: -1 for the CPU.
    files, encoder: digests of the pipeline's. asked: the digest of all that decides a file. folder:
    for the partitions. enough: so many texts that fail before one has a vector stop the run.
    """

    pipeline: str
    level: str
    spans_key: str | None
    dtype: str
    text_field: str
    id_field: str
    gpu_id: int
    files: str = ""
    encoder: str = ""
    asked: str = ""
    folder: str = ""
    enough: int = 0


class Result(NamedTuple):
    """What has become of a partition. error: why it could not be written, with its code."""

    name: str
    n_texts: int = 0
    n_rows: int = 0
    n_failed: int = 0
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


def encode_rows(
    nlp: Language, job: Job, rows: Iterable[tuple[Any, Any]], first: int, failed: list[Failed]
) -> Iterator[Passages]:
    """Encode texts with their ids, but those that raise an error, which are appended to `failed`.

    first: the number of the first text. Raises E834 where job.enough texts fail, none with words is
    encoded, and no partition is done. Texts that cannot be read do not count.
    """
    n_encoded = n_empty = n_failed = 0
    for buffer in fill_buffers(check_rows(nlp, rows, first, failed)):
        for texts, found in encode_rest(nlp, job, buffer):
            if isinstance(found, BaseException):
                ((_, id, _, place),) = texts
                failed.append(Failed(id, place, type(found).__name__, str(found)))
                n_failed += 1
            else:
                n_empty += sum(not text.n_characters for text in texts)
                n_encoded += sum(text.n_characters > 0 for text in texts)
                yield from found
            if n_failed and not n_encoded and 0 < job.enough <= n_failed + n_empty:
                n_encoded = len(list(Path(job.folder).glob(PARTITIONS)))
                if not n_encoded:
                    where = f"The text {failed[-1].id[:80]!r}: {failed[-1].message[:200]}"
                    raise ValueError(Errors.E834.format(n=n_failed, where=where))


def check_rows(
    nlp: Language, rows: Iterable[tuple[Any, Any]], first: int, failed: list[Failed]
) -> Iterator[Text]:
    """The texts that can be read, with an id each."""
    for place, (content, id) in enumerate(rows, start=first):
        try:
            if isinstance(content, Exception):
                raise content
            (text,) = identify(nlp, [(content, id)], place)
        except ValueError as error:
            name = str(place if id is None else id)
            failed.append(Failed(name, place, type(error).__name__, str(error)))
        else:
            yield text


def encode_rest(
    nlp: Language, job: Job, texts: Sequence[Text]
) -> Iterator[tuple[Sequence[Text], list[Passages] | BaseException]]:
    """Encode what can be encoded together. What fails is halved until it is one text, which has its
    error."""
    found: list[Passages] | BaseException
    try:
        items = [(text.content, text.id) for text in texts]
        parts = iter_encode(nlp, items, job.level, spans_key=job.spans_key, dtype=job.dtype)
        found = list(parts)
    except BaseException as error:
        if not can_go_on(error):
            raise
        found = error
    if isinstance(found, list) or len(texts) == 1:
        yield texts, found
        return
    middle = len(texts) // 2
    yield from encode_rest(nlp, job, texts[:middle])
    yield from encode_rest(nlp, job, texts[middle:])


def can_go_on(error: BaseException) -> bool:
    """Whether other texts may do better: not after an interrupt, or once a GPU has failed."""
    is_one_texts = is_failure(error) or isinstance(error, MemoryError)
    return is_one_texts and "CUDA error" not in str(error)


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
