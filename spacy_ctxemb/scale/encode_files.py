"""`ctxemb encode`: from files of texts to files of vectors; what is done is never done again."""

import shutil
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import spacy
from spacy.language import Language
from tqdm import tqdm
from wasabi import msg

from ..bulk.encode import find_width
from ..bulk.encoder_digest import digest_encoder, digest_files
from ..errors import Errors
from .output_folder import join, opening, write_manifest
from .partitions import Partition, cut
from .tables import build_schema, import_extra
from .write_partition import Job, PartitionWriter, Result, find_side_file, locate

#: Who writes partitions: this process, others, or a cluster.
Run = Callable[[Job, Sequence[Partition]], Generator[Result, None, None]]

#: So many texts that fail stop a run that has no vector.
ENOUGH = 100

#: Of a job, what decides the numbers in a file.
ASKED = ("level", "spans_key", "dtype", "text_field", "id_field")


def encode_files(
    job: Job,
    texts: Path,
    output: Path,
    *,
    rows_per_partition: int,
    force: bool = False,
    retry_failed: bool = False,
    run: Run | None = None,
) -> tuple[int, int, int]:
    """Encode the texts of a file or folder; go on where a run with the same arguments stopped.
    Returns the numbers of texts, of vectors, and of texts that failed.

    output: a file *.parquet, or a folder, which keeps the partitions. retry_failed: whether
    partitions are done again in which texts have failed. run: who writes them; this process if
    None. Raises E710, E711, E726 and E830 for an output that cannot be used, E834 where texts fail
    and none gets a vector, and what `cut` and `write_partition` raise.
    """
    import_extra("pyarrow.parquet", "pyarrow", "parquet", "A Parquet file")
    check_output(output, texts)
    nlp = spacy.load(job.pipeline)
    is_file = output.suffix == ".parquet"
    folder = output.with_name(f"{output.name}.parts") if is_file else output
    place, encoder = locate(job.pipeline), digest_encoder(nlp)
    job = job._replace(pipeline=place, encoder=encoder, folder=str(folder.resolve()))
    partitions, inputs = cut(texts, rows_per_partition, job.text_field)
    asked = {
        "pipeline": digest_files(nlp),
        "inputs": inputs,
        "rows_per_partition": rows_per_partition,
        **{name: getattr(job, name) for name in ASKED},
    }
    with opening(folder, asked, force=force) as done:
        for name in [x.name for x in done.values() if x.n_failed] if retry_failed else ():
            del done[name]
        try:
            write_missing(run or partial(run_here, nlp), job, partitions, done)
        finally:
            write_manifest(folder, asked, done)
        if is_file:
            metadata = {"encoder": job.encoder, "level": job.level}
            schema = build_schema(find_width(nlp), job.dtype, metadata)
            join(folder, partitions, output, schema)
            shutil.rmtree(folder, ignore_errors=True)
    return count(done.values())


def check_output(output: Path, texts: Path) -> None:
    """Raise E726 for what cannot become the output, or would be read as one of the texts."""
    is_wrong = output.is_dir() if output.suffix == ".parquet" else output.is_file()
    reasons = {
        f"it would be among the texts of {texts}": output.resolve().is_relative_to(texts.resolve()),
        f"it is a {'folder' if output.is_dir() else 'file'}": is_wrong,
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise ValueError(Errors.E726.format(path=output, reason=reason))


def run_here(
    nlp: Language, job: Job, partitions: Sequence[Partition]
) -> Generator[Result, None, None]:
    """Write partitions in this process."""
    yield from map(PartitionWriter(job, job.gpu_id, nlp).write, partitions)


def write_missing(
    run: Run, job: Job, partitions: Sequence[Partition], done: dict[str, Result]
) -> None:
    """Write the partitions that are not done, and add them to those that are.

    Raises what a partition says went wrong, and E834 where texts fail and none gets a vector.
    """
    missing = [partition for partition in partitions if partition.name not in done]
    total = sum(partition.n for partition in partitions)
    n_texts, n_rows, n_failed = count(done.values())
    if done:
        msg.info(f"Going on after {n_texts:,} texts that are done")
    if not missing:
        return
    progress = tqdm(total=total, initial=n_texts, unit=" texts", disable=None)
    with progress, closing(run(job, missing)) as results:
        for result in results:
            if result.error:
                raise ValueError(result.error)
            done[result.name] = result
            progress.update(result.n_texts)
            n_texts, n_rows, n_failed = count([result], n_texts, n_rows, n_failed)
            if not n_rows and n_failed and (n_failed >= ENOUGH or n_texts == total):
                break
        else:
            return
    forget(Path(job.folder), partitions)
    done.clear()
    raise ValueError(Errors.E834.format(n=n_failed, first=result.first_failed))


def count(
    results: Iterable[Result], n_texts: int = 0, n_rows: int = 0, n_failed: int = 0
) -> tuple[int, int, int]:
    """The texts, vectors and failures of partitions, added to those from before."""
    for result in results:
        n_texts += result.n_texts
        n_rows += result.n_rows
        n_failed += result.n_failed
    return n_texts, n_rows, n_failed


def forget(folder: Path, partitions: Sequence[Partition]) -> None:
    """Remove partitions, so that other settings may be tried."""
    for path in (folder / partition.name for partition in partitions):
        path.unlink(missing_ok=True)
        find_side_file(path).unlink(missing_ok=True)
