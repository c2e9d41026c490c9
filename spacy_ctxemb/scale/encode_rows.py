"""Texts encoded a few thousand at a time, but those that raise an error."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language

from ..bulk.encode import Passages, Text, fill_buffers, identify, iter_encode
from ..errors import Errors
from ..read_files import is_failure
from .partitions import PARTITIONS


class Job(NamedTuple):
    """What each worker is told.

    pipeline: a path or the name of a package. Level, spans_key and dtype are those of
    `spacy_ctxemb.encode`. text_field, id_field: of .jsonl and .parquet. gpu_id: -1 for the CPU.
    files, encoder: digests of the pipeline's. asked: the digest of all that decides a file. folder:
    for the partitions. enough: so many texts that fail before one has a vector stop the run.
    """

    pipeline: str
    level: str
    spans_key: str | None
    dtype: str
    text_field: str
    id_field: str
    gpu_id: int
    files: str = ""
    encoder: str = ""
    asked: str = ""
    folder: str = ""
    enough: int = 0


class Failed(NamedTuple):
    """A text that raised an error. place: its number among all texts."""

    id: str
    place: int
    error: str
    message: str


def encode_rows(
    nlp: Language, job: Job, rows: Iterable[tuple[Any, Any]], first: int, failed: list[Failed]
) -> Iterator[Passages]:
    """Encode texts with their ids, but those that raise an error, which are appended to `failed`.

    first: the number of the first text. Raises E834 where job.enough texts fail, none with words is
    encoded, and no partition is done. Texts that cannot be read do not count.
    """
    n_encoded = n_empty = n_failed = 0
    for buffer in fill_buffers(check_rows(nlp, rows, first, failed)):
        for texts, found in encode_rest(nlp, job, buffer):
            if isinstance(found, BaseException):
                ((_, id, _, place),) = texts
                failed.append(Failed(id, place, type(found).__name__, str(found)))
                n_failed += 1
            else:
                n_empty += sum(not text.n_characters for text in texts)
                n_encoded += sum(text.n_characters > 0 for text in texts)
                yield from found
            if n_failed and not n_encoded and 0 < job.enough <= n_failed + n_empty:
                n_encoded = len(list(Path(job.folder).glob(PARTITIONS)))
                if not n_encoded:
                    where = f"The text {failed[-1].id[:80]!r}: {failed[-1].message[:200]}"
                    raise ValueError(Errors.E834.format(n=n_failed, where=where))


def check_rows(
    nlp: Language, rows: Iterable[tuple[Any, Any]], first: int, failed: list[Failed]
) -> Iterator[Text]:
    """The texts that can be read, with an id each."""
    for place, (content, id) in enumerate(rows, start=first):
        try:
            if isinstance(content, Exception):
                raise content
            (text,) = identify(nlp, [(content, id)], place)
        except ValueError as error:
            name = str(place if id is None else id)
            failed.append(Failed(name, place, type(error).__name__, str(error)))
        else:
            yield text


def encode_rest(
    nlp: Language, job: Job, texts: Sequence[Text]
) -> Iterator[tuple[Sequence[Text], list[Passages] | BaseException]]:
    """Encode what can be encoded together. What fails is halved until it is one text, which has its
    error."""
    found: list[Passages] | BaseException
    try:
        items = [(text.content, text.id) for text in texts]
        parts = iter_encode(nlp, items, job.level, spans_key=job.spans_key, dtype=job.dtype)
        found = list(parts)
    except BaseException as error:
        if not can_go_on(error):
            raise
        found = error
    if isinstance(found, list) or len(texts) == 1:
        yield texts, found
        return
    middle = len(texts) // 2
    yield from encode_rest(nlp, job, texts[:middle])
    yield from encode_rest(nlp, job, texts[middle:])


def can_go_on(error: BaseException) -> bool:
    """Whether other texts may do better: not after an interrupt, or once a GPU has failed."""
    is_one_texts = is_failure(error) or isinstance(error, MemoryError)
    return is_one_texts and "CUDA error" not in str(error)
