"""The folder of partitions: what was asked for, what is done, and one file made of them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..atomic_files import is_working_folder, replacing, write_json, writing
from ..errors import Errors
from ..read_files import read_bytes, reading
from ..temporary_folders import lock_file
from .partitions import Partition
from .write_partition import Result, find_side_file

#: In the folder: what the run was asked for, and what was done when it ended.
MANIFEST = "_manifest.json"

LOCK = "_lock"

#: The name of a partition, and of any file that a run writes.
PARTITION = re.compile(r"\d{12}-\d{12}\.parquet")
OWN = re.compile(rf"{PARTITION.pattern}|_failed-\d{{12}}-\d{{12}}\.jsonl|{LOCK}|{MANIFEST}")

AGAIN = "Remove it, and run the same command again."


@contextmanager
def opening(folder: Path, asked: Mapping[str, Any], *, force: bool) -> Iterator[dict[str, Result]]:
    """Keep other runs away, and give what is done, by the names of partitions.

    asked: what this run is asked for, in JSON; that of partitions that are there must be the same.
    force: whether these are removed first. Raises E710 for partitions of another run, E711 while
    another run works here, E830 for a folder of other files, E163 for a partition that is damaged,
    OSError E164 where nothing can be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(folder.iterdir())  # the manifest last, which says whose the others are
    others = [x.name for x in paths if not (OWN.fullmatch(x.name) or is_working_folder(x))]
    if others:
        raise ValueError(Errors.E830.format(path=folder, names=", ".join(others[:3])))
    with locking(folder):
        for path in paths if force else ():
            if OWN.fullmatch(path.name) and path.name != LOCK:
                path.unlink(missing_ok=True)
        done = {x.name: read_result(x) for x in folder.iterdir() if PARTITION.fullmatch(x.name)}
        if done:
            check_asked(folder, asked)
        write_manifest(folder, asked, done)
        yield done


def check_asked(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raise E710 where something else was asked for before."""
    path = folder / MANIFEST
    with reading(path, "the manifest of a run", advice="Pass --force to begin anew."):
        before: dict[str, Any] = json.loads(read_bytes(path))["asked"]
        was, now = ({**each, **each["inputs"], "inputs": None} for each in (before, asked))
    for name in {**now, **was}:
        if was.get(name) != now.get(name):
            values = {"name": name, "before": was.get(name), "now": now.get(name)}
            raise ValueError(Errors.E710.format(path=folder, **values))


def read_result(path: Path) -> Result:
    """What the file of a partition says of itself. Raises E163."""
    import pyarrow.parquet

    with reading(path, "a partition", advice=AGAIN):
        found = pyarrow.parquet.read_metadata(path)
        n_texts, n_failed = (int(found.metadata[name]) for name in (b"texts", b"failed"))
    return Result(path.name, n_texts, found.num_rows, n_failed)


def write_manifest(folder: Path, asked: Mapping[str, Any], done: Mapping[str, Result]) -> None:
    """Write what was asked for, and what is done: a partition is done if its file is there."""
    rows = [
        {"file": x.name, "texts": x.n_texts, "rows": x.n_rows, "failed": x.n_failed}
        for x in sorted(done.values())
    ]
    write_json({"asked": asked, "done": rows}, folder / MANIFEST)


def join(folder: Path, partitions: Sequence[Partition], output: Path, schema: Any) -> None:
    """Write one file of all partitions, and before it one of all texts that failed."""
    import pyarrow.parquet

    paths = [folder / partition.name for partition in partitions]
    failed = output.with_name(f"{output.name}.failed.jsonl")
    failed.unlink(missing_ok=True)
    if side_files := [x for x in map(find_side_file, paths) if x.exists()]:
        with replacing(failed) as temporary, temporary.open("wb") as file:
            file.writelines(path.read_bytes() for path in side_files)
    with replacing(output) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
            for path in paths:
                with reading(path, "a partition", advice=AGAIN):
                    part = pyarrow.parquet.ParquetFile(path)
                    for i in range(part.num_row_groups):
                        writer.write_table(part.read_row_group(i))


@contextmanager
def locking(folder: Path) -> Iterator[None]:
    """Raise E711 for a folder that another process has locked; it is locked until the end."""
    with (folder / LOCK).open("w") as file:
        try:
            lock_file(file.fileno(), waits=False)
        except BlockingIOError as error:
            raise ValueError(Errors.E711.format(path=folder)) from error
        except OSError:  # a file system without locks
            pass
        yield
