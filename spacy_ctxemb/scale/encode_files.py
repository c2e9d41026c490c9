"""`ctxemb encode`: from files of texts to files of vectors; what is done is never done again."""

import json
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import spacy
from spacy.language import Language
from tqdm import tqdm
from wasabi import msg

from ..bulk.encode import find_width
from ..bulk.encoder_digest import digest_encoder, digest_files
from ..errors import Errors
from .encode_rows import Job
from .output_folder import clear, find_done, join, locking
from .partitions import Partition, cut
from .write_partition import (
    PartitionWriter,
    Result,
    build_schema,
    find_side_file,
    import_extra,
    locate,
)

#: Who writes partitions: other processes, or a cluster.
Run = Callable[[Job, Sequence[Partition]], Generator[Result, None, None]]

#: So many texts that fail stop a run that has encoded none.
ENOUGH = 100

#: So many errors one after the other stop a run; before there is a partition, one does.
PATIENCE = 3

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
    None. Raises E510, E710, E711, E726 and E830 for an output that cannot be used, E834 where texts
    fail and none is encoded, and what `cut` and `write_partition` raise.
    """
    import_extra("pyarrow.parquet", "parquet", "A Parquet file")
    is_file = output.suffix == ".parquet"
    folder = output.with_name(f"{output.name}.parts") if is_file else output
    check_output(output, folder, texts, force=force)
    with locking(folder):
        nlp = spacy.load(job.pipeline)
        encoder, files = digest_encoder(nlp), digest_files(nlp)
        partitions, inputs = cut(texts, rows_per_partition, job.text_field)
        asked = {"pipeline": files, "inputs": inputs, "rows_per_partition": rows_per_partition}
        asked |= {name: getattr(job, name) for name in ASKED}
        job = job._replace(
            pipeline=locate(job.pipeline),
            files=files,
            encoder=encoder,
            asked=blake2b(json.dumps(asked).encode("ascii"), digest_size=16).hexdigest(),
            folder=str(folder.resolve()),
            enough=min(ENOUGH, sum(partition.n for partition in partitions)),
        )
        if force:
            clear(folder)
        done = find_done(folder, asked, job.asked, {x.name for x in partitions})
        for name in [x.name for x in done.values() if x.n_failed] if retry_failed else ():
            del done[name]
        write_missing(nlp, run, job, partitions, done)
        names = ("n_texts", "n_rows", "n_failed")
        n_texts, n_rows, n_failed = (sum(getattr(x, y) for x in done.values()) for y in names)
        if n_failed and n_failed == n_texts:
            where = f"See {find_side_file(folder / partitions[0].name)}."
            raise ValueError(Errors.E834.format(n=n_failed, where=where))
        if is_file:
            join(folder, partitions, output, build_schema(find_width(nlp), job))
            clear(folder)
            shutil.rmtree(folder, ignore_errors=True)
    return n_texts, n_rows, n_failed


def check_output(output: Path, folder: Path, texts: Path, *, force: bool) -> None:
    """Raise E726 for what cannot become the output, or would be mixed with the texts, E510 for a
    file that is there before the run."""
    is_file = output != folder
    at, source = output.resolve(), texts.resolve()
    reasons = {
        f"it would be among the texts of {texts}": at.is_relative_to(source),
        f"it has the texts of {texts}": source.is_relative_to(folder.resolve()),
        f"it is a {'folder' if is_file else 'file'}": (
            output.is_dir() if is_file else output.is_file()
        ),
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise ValueError(Errors.E726.format(path=output, reason=reason))
    if is_file and output.exists() and not (force or folder.is_dir()):
        raise ValueError(Errors.E510.format(path=output))


def write_missing(
    nlp: Language,
    run: Run | None,
    job: Job,
    partitions: Sequence[Partition],
    done: dict[str, Result],
) -> None:
    """Write the partitions that are not done, and add them to those that are.

    Raises what the first partition that could not be written says, once the others are.
    """
    missing = [partition for partition in partitions if partition.name not in done]
    n_done = sum(result.n_texts for result in done.values())
    if done:
        msg.info(f"Going on after {n_done:,} texts that are done")
    if not missing:
        return
    writer = PartitionWriter(job, job.gpu_id, nlp)
    results = run(job, missing) if run else (writer.write(x) for x in missing)
    total = sum(partition.n for partition in partitions)
    progress = tqdm(total=total, initial=n_done, unit=" texts", disable=None)
    errors: list[str] = []
    n_left = 1
    with progress, closing(results):
        for result in results:
            if result.error:
                errors.append(result.error)
                n_left -= 1
                if not n_left:
                    break
                continue
            n_left = PATIENCE
            done[result.name] = result
            progress.update(result.n_texts)
    if errors:
        raise ValueError(errors[0])
