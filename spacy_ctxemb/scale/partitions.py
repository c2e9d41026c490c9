"""Texts cut into partitions, always alike, and the texts of one partition."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from ..bulk.encode import Text
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


class Partition(NamedTuple):
    """Texts that follow one another in a file.

    start: where the first one is: its byte in .txt and .jsonl, its number in other files.
    first: its number among the texts of all files. n: how many there are.
    """

    file: str
    start: int
    first: int
    n: int

    @property
    def name(self) -> str:
        """Of its file: the numbers of the first text and of the one after the last."""
        return f"{self.first:012d}-{self.first + self.n:012d}.parquet"


def cut(path: Path, n_rows: int, text_field: str) -> tuple[list[Partition], dict[str, Any]]:
    """Partitions of a file, or of those in a folder, and what tells whether a file has changed.

    n_rows: texts of a partition. One never has texts of two files. Raises E402, E404, E405, E408
    and E409.
    """
    partitions: list[Partition] = []
    inputs = {}
    first = 0
    for file in find_files(path):
        before = first
        for start, n in find_stretches(file, n_rows, text_field):
            partitions.append(Partition(str(file.resolve()), start, first, n))
            first += n
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        values = {"bytes": file.stat().st_size, "texts": first - before}
        inputs[name] = {**values, "checksum": compute_checksum(file)}
    return partitions, inputs


def find_stretches(path: Path, n_rows: int, text_field: str) -> Iterator[tuple[int, int]]:
    """Where each partition of a file begins, and its texts."""
    if find_kind(path) not in (".txt", ".jsonl"):
        n = count_rows(path, text_field)
        yield from ((start, min(n_rows, n - start)) for start in range(0, n, n_rows))
        return
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


def count_rows(path: Path, text_field: str) -> int:
    """The texts of a .parquet or .spacy, of which the former need not be read."""
    if find_kind(path) == ".parquet":
        import pyarrow.parquet

        next(read_parquet(path, text_field), None)  # whether it can be read, and has the column
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    from spacy.tokens import DocBin

    try:
        return len(DocBin().from_disk(path))
    except Exception as error:  # zlib's, msgpack's and others, by what the file holds
        raise ValueError(Errors.E405.format(path=path, reason=error)) from error


def read_partition(
    partition: Partition, vocab: "Vocab", text_field: str, id_field: str
) -> Iterator[tuple[Any, Any]]:
    """The texts of a partition with their ids, None where one has none.

    A line that is no JSON, or has no text, is an error in the place of a text. vocab: for the Docs
    of .spacy. Raises E405, E408, E409, and E831 where texts are missing.
    """
    path = Path(partition.file)
    kind = find_kind(path)
    rows: Iterator[tuple[Any, Any]]
    if kind == ".parquet":
        rows = read_parquet(path, text_field, id_field, partition.start)
    elif kind == ".spacy":
        rows = ((doc, None) for doc in islice(read_docbin(path, vocab), partition.start, None))
    else:
        lines = (text for _, texts in read_lines(path, partition.start) for text in texts)
        rows = ((line, None) for line in lines)
        if kind == ".jsonl":
            rows = parse_records(path, partition.start, lines, text_field, id_field)
    n = 0
    for row in islice(rows, partition.n):
        yield row
        n += 1
    if n < partition.n:
        raise ValueError(Errors.E831.format(path=path))


def parse_records(
    path: Path, start: int, lines: Iterator[str], text_field: str, id_field: str
) -> Iterator[tuple[Any, Any]]:
    for i, line in enumerate(lines, start=1):
        try:
            yield parse_record(path, f"{i} after byte {start}", line, text_field, id_field)
        except ValueError as error:
            yield error, None


def to_texts(rows: Iterator[tuple[Any, Any]]) -> Iterator[Text]:
    """Rows with their lengths, by which they are cut into what is encoded together."""
    for content, id in rows:
        text = content if isinstance(content, str) else getattr(content, "text", "")
        yield Text(content, id, len(text))
