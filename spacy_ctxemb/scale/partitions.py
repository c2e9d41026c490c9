"""Texts cut into partitions, always alike, and the texts of one partition."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from spacy.tokens import DocBin

from ..errors import Errors
from ..pretraining.text.raw_text import (
    OPENERS,
    find_files,
    find_kind,
    parse_record,
    read_docbin,
    read_parquet,
)
from ..read_files import coding_errors, compute_checksum

if TYPE_CHECKING:
    from spacy.vocab import Vocab


#: The names of partitions.
PARTITIONS = "[0-9]*.parquet"


class Partition(NamedTuple):
    """Texts that follow one another in a file.

    start: where the first one is: its byte in .txt and .jsonl, its number in other files.
    first: its number among the texts of all files. n: how many there are.
    size, changed: of the file, in bytes and nanoseconds, when it was cut.
    """

    file: str
    start: int
    first: int
    n: int
    size: int
    changed: int

    @property
    def name(self) -> str:
        """Of its file: the numbers of the first text and of the one after the last."""
        return f"{self.first:012d}-{self.first + self.n:012d}.parquet"


def cut(path: Path, n_rows: int, text_field: str) -> tuple[list[Partition], dict[str, Any]]:
    """Partitions of a file, or of those in a folder, and what tells whether a file has changed.

    n_rows: texts of a partition. One never has texts of two files. In a folder, names that begin
    with _ or . are skipped, as readers of Parquet do. Raises E402, E404, E405, E408 and E409.
    """
    partitions: list[Partition] = []
    inputs = {}
    first = 0
    for file in find_files(path):
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        if path.is_dir() and any(part[0] in "_." for part in Path(name).parts):
            continue
        before, status = first, file.stat()
        for start, n in find_stretches(file, n_rows, text_field):
            at = (str(file.resolve()), start, first, n, status.st_size, status.st_mtime_ns)
            partitions.append(Partition(*at))
            first += n
        values = {"bytes": status.st_size, "texts": first - before}
        inputs[name] = {**values, "checksum": compute_checksum(file)}
    return partitions, inputs


def find_stretches(path: Path, n_rows: int, text_field: str) -> Iterator[tuple[int, int]]:
    """Where each partition of a file begins, and its texts."""
    kind = find_kind(path)
    if kind in (".txt", ".jsonl"):
        yield from find_stretches_of_lines(path, n_rows)
        return
    if kind == ".parquet":
        import pyarrow.parquet

        next(read_parquet(path, text_field), None)  # whether it can be read, and has the column
        n = int(pyarrow.parquet.read_metadata(path).num_rows)
    else:
        try:
            n = len(DocBin().from_disk(path))
        except Exception as error:  # zlib's, msgpack's and others, by what the file holds
            raise ValueError(Errors.E405.format(path=path, reason=error)) from error
    yield from ((start, min(n_rows, n - start)) for start in range(0, n, n_rows))


def find_stretches_of_lines(path: Path, n_rows: int) -> Iterator[tuple[int, int]]:
    begin = n = 0
    for place, texts in read_lines(path):
        if n >= n_rows:
            yield begin, n
            n = 0
        begin = begin if n else place
        n += len(texts)
    if n:
        yield begin, n


def read_lines(path: Path, start: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The bytes before each line, and the texts in it: none if it is blank, several where a
    carriage return alone ends a text.

    What is not UTF-8 becomes characters that encoding refuses, so that one text fails and not the
    file. Raises E405.
    """
    opener = cast(Any, OPENERS.get(path.suffix, open))
    with coding_errors(Errors.E405, path=path), opener(path, "rb") as file:
        cast(IO[bytes], file).seek(start)
        place = start
        for line in file:
            content = line.removeprefix(BOM_UTF8) if place == 0 else line
            lines = content.decode("utf8", "surrogateescape").split("\r")
            texts = [text for text in map(str.strip, lines) if text]
            if texts:
                yield place, texts
            place += len(line)


def read_partition(
    partition: Partition, vocab: "Vocab", text_field: str, id_field: str
) -> Iterator[tuple[Any, Any]]:
    """The texts of a partition with their ids, None where one has none.

    A line that is no JSON, or has no text, is an error in the place of a text. vocab: for the Docs
    of .spacy. Raises E405, E408, E409, and E831 for a file that has changed.
    """
    path, start = Path(partition.file), partition.start
    kind = find_kind(path)
    rows: Iterator[tuple[Any, Any]]
    if kind == ".parquet":
        rows = read_parquet(path, text_field, id_field, start)
    elif kind == ".spacy":
        rows = ((doc, None) for doc in islice(read_docbin(path, vocab), start, None))
    else:
        rows = ((text, None) for _, texts in read_lines(path, start) for text in texts)
    check_unchanged(partition)
    for i, (content, id) in enumerate(islice(rows, partition.n), start=1):
        if kind == ".jsonl":
            try:
                place = f"{i} after byte {start}"
                content, id = parse_record(path, place, content, text_field, id_field)
            except ValueError as error:
                content = error
        yield content, id
    check_unchanged(partition)


def check_unchanged(partition: Partition) -> None:
    """Raise E831 for a file that is not as it was cut."""
    path = Path(partition.file)
    status = path.stat() if path.exists() else None
    if status is None or (status.st_size, status.st_mtime_ns) != partition[4:]:
        raise ValueError(Errors.E831.format(path=path))
