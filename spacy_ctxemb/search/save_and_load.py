"""An index in a folder."""

import os
from pathlib import Path

import spacy
from spacy.language import Language

from ..atomic_files import replacing_folder
from ..errors import Errors
from ..read_files import compute_checksum, describe, is_failure
from .folder import (
    FORMAT,
    STORES,
    Described,
    build_error,
    check_replaceable,
    read_described,
    write_described,
)
from .index import Index


def save(index: Index, folder: Path) -> None:
    """See `Index.save`."""
    check_replaceable(folder)
    with replacing_folder(folder, may_exist=True) as temporary:
        for part in (index.vectors, index.passages):
            part.write(temporary / part.file)
        names = index.vectors.file, index.passages.file
        checksums = {name: compute_checksum(temporary / name) for name in names}
        write_described(describe_index(index, folder, checksums), temporary)


def describe_index(index: Index, folder: Path, checksums: dict[str, str]) -> Described:
    """A pipeline that lies beside the index is named from there, so that both can move."""
    pipeline, place = index.pipeline, Path(os.path.abspath(folder))
    if pipeline is not None and pipeline.is_relative_to(place.parent):
        pipeline = Path(os.path.relpath(pipeline, place))
    return Described(
        format=FORMAT,
        level=index.level,
        spans_key=index.spans_key,
        dtype=index.dtype,
        width=index.width,
        n_passages=len(index),
        exact_limit=index.exact_limit,
        encoder=index.encoder,
        pipeline=None if pipeline is None else str(pipeline),
        next_key=index.next_key,
        next_id=index.next_id,
        checksums=checksums,
    )


def load(folder: Path, nlp: Language | None) -> Index:
    """See `Index.load`."""
    described = read_described(folder)
    index = Index(
        nlp or load_pipeline(folder, described.pipeline),
        described.level,
        dtype=described.dtype,
        spans_key=described.spans_key,
        exact_limit=described.exact_limit,
    )
    if index.encoder != described.encoder:
        values = {"before": described.encoder, "now": index.encoder}
        raise ValueError(Errors.E715.format(path=folder, **values))
    index.next_key, index.next_id = described.next_key, described.next_id
    try:
        read_files(index, folder, described)
    except BaseException as error:
        if not is_failure(error) or isinstance(error, ImportError):
            raise
        raise build_error(folder, error) from error
    return index


def read_files(index: Index, folder: Path, described: Described) -> None:
    """Read vectors and passages. Raises any error where they are not those that are described."""
    (name,) = described.checksums.keys() & STORES.keys()
    index.vectors = STORES[name](index.width, index.dtype)
    index.vectors.load(folder / name)
    counts = {len(index), index.passages.load(folder / index.passages.file)}
    if counts != {described.n_passages} or described.width != index.width:
        raise ValueError(f"it has {sorted(counts)} passages of width {index.width}")
    if index.passages.find_last_key() >= described.next_key:
        raise ValueError(f"it has passages after the key {described.next_key}")


def load_pipeline(folder: Path, pipeline: str | None) -> Language:
    """The pipeline that an index names. Raises E716 where there is none."""
    try:
        if pipeline is None:
            raise ValueError("it was in memory alone when the index was written")
        return spacy.load(folder / pipeline)
    except BaseException as error:
        if not is_failure(error):
            raise
        values = {"path": folder, "pipeline": pipeline, "reason": describe(error)}
        raise ValueError(Errors.E716.format(**values)) from error
