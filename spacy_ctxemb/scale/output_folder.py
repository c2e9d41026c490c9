"""The folder of partitions: what was asked for, what is done, and one file made of them."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..atomic_files import replacing, write_json, writing
from ..errors import Errors
from ..read_files import read_bytes, reading
from ..temporary_folders import lock_file
from .partitions import PARTITIONS, Partition
from .write_partition import Result, find_side_file

#: In the folder: what the run was asked for.
MANIFEST = "_manifest.json"

LOCK = "_lock"

#: The name of any file that a run writes.
OWN = re.compile(rf"(_failed-)?\d{{12}}-\d{{12}}\.(parquet|jsonl)|{LOCK}|{MANIFEST}")

AGAIN = "Remove it, and run the same command again."


@contextmanager
def locking(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder until the end. It is made if it is missing.

    Raises E830 for a folder of other files, E711 while another run works here, OSError E164 where
    nothing can be written.
    """
    is_new = not folder.exists()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in folder.iterdir())
        others = [name for name in names if name[0] != "." and not OWN.fullmatch(name)]
        if others:
            raise ValueError(Errors.E830.format(path=folder, names=", ".join(others[:3])))
        file = (folder / LOCK).open("a")
    with file:
        try:
            lock_file(file.fileno(), waits=False)
        except BlockingIOError as error:
            raise ValueError(Errors.E711.format(path=folder)) from error
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            with suppress(OSError):
                if is_new and [path.name for path in folder.iterdir()] == [LOCK]:
                    (folder / LOCK).unlink()
                    folder.rmdir()


def find_done(
    folder: Path, asked: Mapping[str, Any], digest: str, names: Collection[str]
) -> dict[str, Result]:
    """What is done, by the names of partitions; where nothing is, note what is asked for.

    asked: in JSON. names: of all partitions. Raises E710 for partitions of another run, E163 for
    one that is damaged.
    """
    paths = set(folder.iterdir())
    found = sorted(path for path in paths if path.match(PARTITIONS))
    if not found:
        write_json({"asked": asked}, folder / MANIFEST)
        return {}
    check_asked(folder, asked)
    done = {path.name: read_result(path, digest) for path in found if path.name in names}
    for side_file in (find_side_file(folder / x.name) for x in done.values() if not x.n_failed):
        if side_file in paths:  # a kill has come before it was removed
            side_file.unlink()
    return done


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


def read_result(path: Path, digest: str) -> Result:
    """What the file of a partition says of itself. Raises E163, and E710 if another run wrote
    it."""
    import pyarrow.parquet

    with reading(path, "a partition", advice=AGAIN):
        found = pyarrow.parquet.read_metadata(path)
        n_texts, n_failed = (int(found.metadata[name]) for name in (b"texts", b"failed"))
        before = found.metadata[b"asked"].decode()
    if before != digest:
        values = {"name": "the digest of its manifest", "before": before, "now": digest}
        raise ValueError(Errors.E710.format(path=path, **values))
    return Result(path.name, n_texts, found.num_rows, n_failed)


def clear(folder: Path) -> None:
    """Remove what runs have written; the manifest last, which says whose the rest is."""
    for path in sorted(folder.iterdir()):
        if OWN.fullmatch(path.name) and path.name != LOCK:
            path.unlink(missing_ok=True)


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
