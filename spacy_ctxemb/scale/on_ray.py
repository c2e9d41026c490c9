"""Partitions, and datasets of texts, on Ray Data, by actors that hold the pipeline."""

import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spacy

from ..bulk.encode import DTYPES, find_width
from ..bulk.encoder_digest import digest_files
from ..bulk.levels import check_options
from ..errors import Errors
from ..pretraining.text.worker_processes import become_worker
from ..read_files import coding_errors
from .encode_rows import Failed, Job, encode_rows
from .partitions import Partition
from .write_partition import (
    PartitionWriter,
    Result,
    build_schema,
    import_extra,
    load_pipeline,
    locate,
    to_table,
)

if TYPE_CHECKING:
    import pyarrow
    import ray.data

#: What needs Ray.
RAY = ("ray.data", "ray", "Encoding on a cluster")

#: How often a task is tried again whose actor or machine has died. Ray takes half a minute to
#: notice that a machine is gone, and tries once a second meanwhile.
RETRIES = 60


def run_on_ray(
    address: str | None, n: int | None, job: Job, partitions: Sequence[Partition]
) -> Generator[Result, None, None]:
    """Write partitions in actors of a cluster; results come as they are done.

    All machines see the folder, the texts and the pipeline under the same paths. An actor has a
    core, or with job.gpu_id from 0 on a GPU. address: see ray.init. n: actors; None for all cores
    or GPUs. Raises ImportError E708 where there is no Ray, E836 for what goes wrong in it.
    """
    ray = import_extra(*RAY)
    is_ours = not ray.is_initialized()
    with coding_errors(Errors.E836):
        if is_ours:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(address=address, log_to_driver=False)
        try:
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            items = [partition._asdict() for partition in partitions]
            ds = ray.data.from_items(items, override_num_blocks=len(items))
            options = choose_resources(job.gpu_id, n, len(items))
            done = ds.map(PartitionActor, fn_constructor_args=(job,), **options)
            for row in done.iter_rows():
                yield Result(**row)
        finally:
            if is_ours:
                ray.shutdown()


def encode_dataset(
    ds: "ray.data.Dataset",
    pipeline: str | Path,
    level: str = "doc",
    *,
    spans_key: str | None = None,
    dtype: str = "float32",
    text_field: str = "text",
    id_field: str = "id",
    n_actors: int | None = None,
    use_gpu: bool = False,
    batch_size: int = 2048,
) -> "ray.data.Dataset":
    """A dataset of Ray with the vectors of the texts of another one, computed as it is read.

    Its columns: id, text, start, end, label, vector, error. A text that fails has one row, with the
    error and no vector.

    pipeline: a path that all machines see, or the name of a package. text_field, id_field: columns.
    n_actors: None for seven of eight cores, or for all GPUs with use_gpu; leave a core to what
    reads and writes the dataset. batch_size: texts that an actor encodes at a time. For level,
    spans_key and dtype see `spacy_ctxemb.encode`.

    Raises ImportError E708 where there is no Ray, E700 where no component of the pipeline writes
    vectors, E701 for an unknown level or dtype, E836 for a cluster without a core or GPU for an
    actor, E837 where a column is missing.

        vectors = encode_dataset(ray.data.read_parquet("texts"), "PIPELINE", level="sent")
        vectors.write_parquet("vectors")
    """
    import_extra(*RAY)
    found = ds.columns()  # None for a dataset without rows
    if found and not {text_field, id_field} <= {*found}:
        needed = [text_field, id_field]
        raise ValueError(Errors.E837.format(found=found, needed=needed))
    check_options(level, dtype, DTYPES)
    nlp = spacy.load(pipeline)
    find_width(nlp)  # or there are no vectors
    what = (level, spans_key, dtype, text_field, id_field)
    job = Job(locate(pipeline), *what, gpu_id=0 if use_gpu else -1, files=digest_files(nlp))
    return ds.map_batches(
        TextActor,
        fn_constructor_args=(job,),
        batch_size=batch_size,
        batch_format="pyarrow",
        **choose_resources(job.gpu_id, n_actors, None),
    )


def choose_resources(gpu_id: int, n: int | None, n_items: int | None) -> dict[str, Any]:
    """How many actors there are, and what each of them has. n_items: None where they share the
    cores with tasks that read and write. Raises E836 where none can be."""
    import ray

    kind = "GPU" if gpu_id >= 0 else "CPU"
    n_there = int(ray.cluster_resources().get(kind, 0))
    n_kept = max(1, n_there // 8) if kind == "CPU" and n_items is None else 0
    if n_there <= n_kept:
        raise ValueError(Errors.E836.format(reason=f"its machines have no {kind} for an actor"))
    count = min(n or n_there - n_kept, n_items or sys.maxsize)
    return {"concurrency": count, f"num_{kind.lower()}s": 1, "max_task_retries": RETRIES}


class PartitionActor:
    """Writes a partition for each row that describes one."""

    def __init__(self, job: Job) -> None:
        become_worker()
        self.writer = PartitionWriter(job, min(job.gpu_id, 0))  # an actor sees its own GPU alone

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return self.writer.write(Partition(**row))._asdict()


class TextActor:
    """Encodes tables with a column of texts and one of ids."""

    def __init__(self, job: Job) -> None:
        become_worker()
        self.job, self.nlp = job, load_pipeline(job, min(job.gpu_id, 0))

    def __call__(self, table: "pyarrow.Table") -> "pyarrow.Table":
        import pyarrow as pa

        ids = table.column(self.job.id_field)
        if ids.null_count:
            raise ValueError(Errors.E838.format(n=ids.null_count, field=self.job.id_field))
        failed: list[Failed] = []
        texts = ("" if x is None else x for x in table.column(self.job.text_field).to_pylist())
        rows = zip(texts, ids.to_pylist(), strict=True)
        tables = [build_schema(find_width(self.nlp), self.job).empty_table()]
        tables += map(to_table, encode_rows(self.nlp, self.job, rows, 0, failed))
        errors = {
            "id": [x.id for x in failed],
            "error": [f"{x.error}: {x.message}" for x in failed],
        }
        schema = pa.schema([("id", pa.string()), ("error", pa.string())])
        return pa.concat_tables([*tables, pa.table(errors, schema)], promote_options="default")
