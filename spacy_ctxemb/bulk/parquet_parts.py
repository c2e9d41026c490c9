"""Passages in a Parquet file, written part by part so that a stopped run goes on."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic_files import replacing, write_json, writing
from ..errors import Errors
from ..read_files import read_bytes, reading
from ..temporary_folders import lock_file
from .encode import Passages

if TYPE_CHECKING:
    import pyarrow

#: In the folder of parts: what run they are of.
RUN = "run.json"

#: The name of a part: the numbers of its first text and of the one after its last.
PART = re.compile(r"(\d{12})-(\d{12})\.parquet")


class Parts:
    """The parts of a Parquet file that is not finished, in a folder beside it."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(f"{output.name}.parts")

    @contextmanager
    def opening(self, settings: dict[str, Any], *, force: bool) -> Iterator[int]:
        """Keep other runs away, and give the number of texts that are done.

        settings: of this run, in JSON; those of the parts must be the same. force: whether all
        parts are removed first. Raises E710 for parts of another run, E711 while another run works
        here, E712 where one is missing, OSError E164 where nothing can be written.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with locking(self.folder):
            for path in self.list_parts() if force else ():
                path.unlink()
            self.check_run(settings)
            yield self.count_texts()

    def check_run(self, settings: dict[str, Any]) -> None:
        """Note the settings where no part is there. Raises E710 for parts of another run."""
        path = self.folder / RUN
        if not self.list_parts():
            write_json(settings, path)
        with reading(path, "the settings of a run", advice="Pass --force to begin anew."):
            before: dict[str, Any] = json.loads(read_bytes(path))
            if not isinstance(before, dict):
                raise ValueError("it is no object")
        for name in {**settings, **before}:
            was, is_now = before.get(name), settings.get(name)
            if was != is_now:
                values = {"path": self.folder, "name": name, "before": was, "now": is_now}
                raise ValueError(Errors.E710.format(**values))

    def list_parts(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if PART.fullmatch(path.name))

    def count_texts(self) -> int:
        """The texts that are done. Raises E712 where a part is missing."""
        n = 0
        for path in self.list_parts():
            first, after = map(int, PART.fullmatch(path.name).groups())  # type: ignore[union-attr]  # matched above
            if first != n:
                raise ValueError(Errors.E712.format(path=self.folder, n=n, name=path.name))
            n = after
        return n

    def add(self, passages: Passages, first: int) -> None:
        """Write a part, whole or not at all. first: the number of its first text."""
        import pyarrow.parquet

        name = f"{first:012d}-{first + passages.n_texts:012d}.parquet"
        with replacing(self.folder / name) as temporary:
            pyarrow.parquet.write_table(to_table(passages), temporary)

    def join(self, width: int, dtype: str, metadata: dict[str, str]) -> int:
        """Write the whole file, remove the parts, and count the rows."""
        import numpy as np
        import pyarrow.parquet

        empty = Passages([], [], np.zeros((0, width), dtype=dtype), 0)
        schema = to_table(empty).schema.with_metadata(metadata)
        n_rows = 0
        with replacing(self.output) as temporary:
            with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
                for path in self.list_parts():
                    advice = f"Remove the folder {self.folder}, and run the command again."
                    with reading(path, "a part of a Parquet file", advice=advice):
                        table = pyarrow.parquet.read_table(path).cast(schema)
                    writer.write_table(table)
                    n_rows += len(table)
        shutil.rmtree(self.folder, ignore_errors=True)
        return n_rows


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


def check_output(output: Path, texts: Path) -> None:
    """Raise E726 for a folder, and for a file that would be read as one of the texts."""
    reasons = {
        "it is a folder": output.is_dir(),
        f"it would be among the texts of {texts}": output.resolve().is_relative_to(texts.resolve()),
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise ValueError(Errors.E726.format(path=output, reason=reason))


def check_pyarrow() -> None:
    """Raise ImportError E708 where there is no pyarrow."""
    try:
        import pyarrow.parquet  # noqa: F401 (whether it is there)
    except ImportError as error:
        values = {"what": "A Parquet file", "package": "pyarrow", "extra": "parquet"}
        raise ImportError(Errors.E708.format(**values)) from error


@contextmanager
def locking(folder: Path) -> Iterator[None]:
    """Raise E711 for a folder that another process has locked; it is locked until the end."""
    with (folder / "lock").open("w") as file:
        try:
            lock_file(file.fileno(), waits=False)
        except BlockingIOError as error:
            raise ValueError(Errors.E711.format(path=folder)) from error
        except OSError:  # a file system without locks
            pass
        yield
