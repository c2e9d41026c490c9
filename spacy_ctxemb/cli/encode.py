"""`python -m spacy ctxemb encode`"""

from enum import Enum
from pathlib import Path

import typer

from .output_paths import FORCE
from .use_gpu import use_gpu


class Level(str, Enum):
    """What gets a vector."""

    doc = "doc"
    sent = "sent"
    token = "token"
    span = "span"


class Dtype(str, Enum):
    """Numbers in a file."""

    float32 = "float32"
    float16 = "float16"


TEXT_FIELD: str = typer.Option("text", help="Where the text is in .jsonl and .parquet")
ID_FIELD: str = typer.Option("id", help="Where its id is; without one a text has its place")
SPANS_KEY: str | None = typer.Option(
    None, help="Spans of the level span are doc.spans[KEY]; else they are the entities"
)
WORKERS: int | None = typer.Option(
    None, min=1, help="Processes of one thread each; with --ray actors, as a rule one a core or GPU"
)
RAY_ADDRESS: str | None = typer.Option(
    None, help="Of a Ray cluster; else $RAY_ADDRESS, the one on this machine, or a new one"
)
ROWS: int = typer.Option(8192, min=1, help="Texts of a partition, which is one piece of work")
RETRY: bool = typer.Option(False, help="Do partitions again in which texts failed")


def encode(
    pipeline: str = typer.Argument(..., help="Directory or package of a pipeline with ctxemb"),
    text_path: Path = typer.Argument(
        ...,
        help="File or folder of .txt (a text a line) or .jsonl, also compressed, .spacy, .parquet",
    ),
    output_path: Path = typer.Argument(..., help="File *.parquet, or a folder for partitions"),
    level: Level = typer.Option(Level.doc, help="What gets a vector"),
    spans_key: str | None = SPANS_KEY,
    dtype: Dtype = typer.Option(Dtype.float32, help="Numbers of the vectors"),
    text_field: str = TEXT_FIELD,
    id_field: str = ID_FIELD,
    workers: int | None = WORKERS,
    ray: bool = typer.Option(False, "--ray", help="Encode on Ray Data"),
    ray_address: str | None = RAY_ADDRESS,
    rows_per_partition: int = ROWS,
    retry_failed: bool = RETRY,
    gpu_id: int = typer.Option(-1, help="GPU, the first one of several workers; -1 for the CPU"),
    force: bool = FORCE,
) -> None:
    """Write the vectors of texts, or of their sentences, tokens or spans, as Parquet.

    Columns: id, text, start, end, label, vector. A run that was stopped goes on where it was, with
    the same command; what is finished lies in the folder OUTPUT_PATH, or in OUTPUT_PATH.parts until
    there is one file. Texts that raise an error are written to files of their own.
    """
    from functools import partial

    from wasabi import msg

    from ..scale.encode_files import Run, encode_files
    from ..scale.encode_rows import Job
    from ..scale.on_ray import run_on_ray
    from ..scale.processes import run_in_processes

    run: Run | None = None
    if ray or ray_address:
        run = partial(run_on_ray, ray_address, workers)
    elif workers:
        run = partial(run_in_processes, workers)
    else:
        use_gpu(gpu_id)
    what = (level.value, spans_key, dtype.value, text_field, id_field)
    n_texts, n_rows, n_failed = encode_files(
        Job(pipeline, *what, gpu_id=gpu_id),
        text_path,
        output_path,
        rows_per_partition=rows_per_partition,
        force=force,
        retry_failed=retry_failed,
        run=run,
    )
    msg.good(f"Wrote {n_rows:,} vectors of {n_texts:,} texts", str(output_path))
    if n_failed:
        msg.warn(f"{n_failed:,} of the texts failed: see the files *failed*.jsonl")
