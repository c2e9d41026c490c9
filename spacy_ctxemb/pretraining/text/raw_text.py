"""Text to learn from, read document by document from files of several kinds."""

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from itertools import groupby, repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ...errors import Errors

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

#: How a file is opened, by the end of its name.
OPENERS: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

#: Kinds of file; the first two may be compressed.
KINDS = (".txt", ".jsonl", ".spacy", ".parquet")

LAYOUTS = ("sentences", "documents")


class Text(NamedTuple):
    """A stretch of a document, never blank.

    text: without white space around it. begins_document: whether it is the first of a document.
    is_sentence: whether it is one sentence, rather than any number of them.
    """

    text: str
    begins_document: bool
    is_sentence: bool


class TextCorpus:
    """`spacy-ctxemb.TextCorpus.v1`: documents in the order of the files, each a list of texts.

    path: a file, or a folder with all in it, or several of these: .txt and .jsonl, also with .gz,
        .bz2 or .xz after that; .spacy (DocBin); .parquet, for which pyarrow is needed.
    layout: of .txt, "sentences": one a line, blank lines between documents; "documents": one a
        line. The texts of a document are its sentences in the first case, and in .spacy where
        sentences are annotated; else the document as a whole.
    text_field: where the text is in .jsonl and .parquet.
    limit: documents to read at most.
    split: whether a document that comes as a whole is later split into sentences, by rule.

    Raises E400 for an unknown layout, E401 for a limit below 1; when it is read, E402 to E409 for
    files that cannot be read or have no text.

    Example:
        for texts in TextCorpus("text.txt", limit=100):
            print(texts[0])
    """

    def __init__(
        self,
        path: str | list[str] | None,
        *,
        layout: str = "sentences",
        text_field: str = "text",
        limit: int | None = None,
        split: bool = True,
    ) -> None:
        if layout not in LAYOUTS:
            raise ValueError(Errors.E400.format(layout=layout, options=", ".join(LAYOUTS)))
        if limit is not None and limit < 1:
            raise ValueError(Errors.E401.format(name="limit", value=limit, least=1))
        self.paths = [path] if isinstance(path, str) else list(path or [])
        self.layout = layout
        self.text_field = text_field
        self.limit = limit
        self.split = split

    def __iter__(self) -> Iterator[list[str]]:
        numbered = ((n, text.text) for n, text in self.number_documents())
        for _, texts in groupby(numbered, key=lambda pair: pair[0]):
            yield [text for _, text in texts]

    def number_documents(self) -> Iterator[tuple[int, Text]]:
        """Yield each text with the number of its document, from 1. Raises E403 if none is there."""
        n = 0
        for path in self.files:
            for text in self._read(path):
                n += text.begins_document
                if self.limit is not None and n > self.limit:
                    return
                yield n, text
        if n == 0:
            raise ValueError(Errors.E403.format(path=", ".join(self.paths)))

    @property
    def files(self) -> list[Path]:
        """List all files, those of a folder in alphabetical order. Raises E402 and E404."""
        if not self.paths:
            raise ValueError(Errors.E402.format(path=None))
        return [file for path in self.paths for file in find_files(Path(path))]

    def _read(self, path: Path) -> Iterator[Text]:
        kind = find_kind(path) or ""
        if kind == ".txt" and self.layout == "sentences":
            return read_sentences(path)
        if kind == ".spacy":
            return read_docs(path)
        if kind == ".txt":
            whole = (line for _, line in number_lines(path))
        else:
            read = read_jsonl if kind == ".jsonl" else read_parquet
            whole = (text.strip() for text, _ in read(path, self.text_field))
        return (Text(text, begins_document=True, is_sentence=False) for text in whole if text)


def find_kind(path: Path) -> str | None:
    """Find the kind of a file by its name; None for one that cannot be read."""
    name = path.with_suffix("").name if path.suffix in OPENERS else path.name
    kind = Path(name).suffix
    is_plain = name == path.name or kind in (".txt", ".jsonl")
    return kind if kind in KINDS and is_plain else None


def find_files(path: Path) -> list[Path]:
    """List a file itself, or those in a folder and beneath it that can be read.

    Raises E402 if there is no such path, E404 if none can be read.
    """
    if not path.exists():
        raise ValueError(Errors.E402.format(path=path))
    files = [path] if path.is_file() else path.rglob("*")
    found = sorted(file for file in files if file.is_file() and find_kind(file))
    if not found:
        raise ValueError(Errors.E404.format(path=path, kinds=", ".join(KINDS)))
    return found


def number_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line of a file after its number, without white space around it. Raises E405."""
    opener = OPENERS.get(path.suffix, open)
    try:
        with opener(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                yield number, line.strip()
    except (EOFError, OSError, UnicodeDecodeError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(Errors.E405.format(path=path, reason=error)) from error


def read_sentences(path: Path) -> Iterator[Text]:
    """Read a sentence a line, blank lines between documents."""
    begins_document = True
    for _, line in number_lines(path):
        if line:
            yield Text(line, begins_document, is_sentence=True)
        begins_document = not line


def read_whole(
    path: Path, vocab: "Vocab", *, text_field: str = "text", id_field: str = "id"
) -> Iterator[tuple["str | Doc", Any]]:
    """Read each document of a file or folder as it is, with its id; None where it has none.

    Blank lines of .txt are no documents. vocab: for the Docs of .spacy. Raises E402 and E404 to
    E409.
    """
    for file in find_files(path):
        kind = find_kind(file)
        if kind == ".spacy":
            yield from ((doc, None) for doc in read_docbin(file, vocab))
        elif kind == ".txt":
            yield from ((line, None) for _, line in number_lines(file) if line)
        else:
            read = read_jsonl if kind == ".jsonl" else read_parquet
            yield from read(file, text_field, id_field)


def read_jsonl(
    path: Path, text_field: str, id_field: str | None = None
) -> Iterator[tuple[str, Any]]:
    """Read a document a line, in JSON, and its id if it has one. Raises E406 and E407."""
    for number, line in number_lines(path):
        if line:
            yield parse_record(path, number, line, text_field, id_field)


def parse_record(
    path: Path, number: int | str, line: str, text_field: str, id_field: str | None
) -> tuple[str, Any]:
    """The text and the id in a line of JSON. Raises E406 and E407."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(Errors.E406.format(path=path, line=number, reason=error)) from error
    text = record.get(text_field) if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise ValueError(Errors.E407.format(path=path, line=number, field=text_field))
    return text, record.get(id_field)


def read_parquet(
    path: Path, text_field: str, id_field: str | None = None, start: int = 0
) -> Iterator[tuple[str, Any]]:
    """Read a document a row, and its id if it has one. Raises E405, E408 and E409.

    start: the first row to read; groups of rows before it stay on the disk.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(Errors.E408.format(path=path)) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            kinds = {field.name: str(field.type) for field in file.schema_arrow}
            names = [name for name, kind in kinds.items() if kind in ("string", "large_string")]
            if text_field not in names:
                message = Errors.E409.format(path=path, field=text_field, names=", ".join(names))
                raise ValueError(message)
            fields = [text_field, *([id_field] if id_field in kinds else [])]
            first, groups = skip_groups(file, start)
            for batch in file.iter_batches(columns=fields, row_groups=groups):
                rest = batch.slice(max(start - first, 0))
                first += len(batch)
                columns = [rest.column(field).to_pylist() for field in fields]
                ids = columns[1] if len(fields) == 2 else repeat(None)
                yield from ((text or "", id) for text, id in zip(columns[0], ids, strict=False))
    except (OSError, pyarrow.ArrowException) as error:
        raise ValueError(Errors.E405.format(path=path, reason=error)) from error


def skip_groups(file: Any, start: int) -> tuple[int, list[int]]:
    """The groups of rows of a Parquet file that have the row `start` or a later one, and the
    number of the first row in them."""
    first, n = 0, file.metadata.num_row_groups
    for i in range(n):
        n_rows = file.metadata.row_group(i).num_rows
        if first + n_rows > start:
            return first, list(range(i, n))
        first += n_rows
    return first, []


def read_docs(path: Path) -> Iterator[Text]:
    """Read the Docs of a DocBin, by sentences where they are annotated. Raises E405."""
    from spacy.vocab import Vocab

    for doc in read_docbin(path, Vocab()):
        is_sentence = doc.has_annotation("SENT_START")
        spans = [sent.text.strip() for sent in doc.sents] if is_sentence else [doc.text.strip()]
        for i, text in enumerate(filter(None, spans)):
            yield Text(text, i == 0, is_sentence)


def read_docbin(path: Path, vocab: "Vocab") -> Iterator["Doc"]:
    """Read the Docs of a DocBin. Raises E405."""
    from spacy.tokens import DocBin

    try:
        docs = DocBin().from_disk(path).get_docs(vocab)
        while (doc := next(docs, None)) is not None:
            yield doc
    except Exception as error:  # zlib's, msgpack's and others, by what the file holds
        raise ValueError(Errors.E405.format(path=path, reason=error)) from error
