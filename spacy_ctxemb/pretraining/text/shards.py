"""Shards of a corpus, and how one store is made of them: arrays laid end to end, types numbered by
frequency."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from numpy.typing import DTypeLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from ...atomic_files import replacing, write_json, write_tensors
from ...pieces.base import Ids, Ints, Pieces
from ...pieces.characters import CharacterPieces
from ...read_files import reading


class Shard(NamedTuple):
    """The pieces of a chunk.

    ids: (P,), of pieces; for CharacterPieces of types, as the chunk numbers them.
    word_starts: (P,), whether a piece begins a word.
    sentence_lengths: (S,), in pieces. document_lengths: (D,), in sentences. Some may be 0.
    continues: (), whether the first document begins in an earlier chunk.
    types: words; none for other pieces. type_counts: (n_types,).
    """

    ids: Ids
    word_starts: NDArray[np.bool_]
    sentence_lengths: Ints
    document_lengths: Ints
    continues: NDArray[np.bool_]
    types: list[str]
    type_counts: Ints


def save_shard(shard: Shard, path: Path) -> None:
    """Write a shard; the file appears when it is whole. Raises E164."""
    types = np.frombuffer(bytearray(json.dumps(shard.types), "ascii"), dtype=np.uint8)
    arrays = {**shard._asdict(), "types": types}
    write_tensors({name: torch.from_numpy(array) for name, array in arrays.items()}, path)


def load_shard(path: Path) -> Shard:
    """Read a shard. Raises E163 if it is damaged."""
    with reading(path, "a part of a token store"):
        arrays = load_file(path)
        return Shard(**{**arrays, "types": json.loads(arrays["types"].tobytes())})


def is_shard(path: Path) -> bool:
    """Tell whether a file is a shard that was not cut."""
    try:
        with safe_open(path, framework="np") as file:
            return {*file.keys()} == {*Shard._fields}
    except (OSError, SafetensorError):
        return False


class Kind(NamedTuple):
    """What an array of a store holds. n_axes: how many axes it has."""

    dtype: DTypeLike
    n_axes: int


#: The arrays of a store, see TokenStore; each is a file of its name.
ARRAYS = {
    "ids": Kind(np.int32, 1),
    "word_starts": Kind(np.bool_, 1),
    "sentence_ends": Kind(np.int64, 1),
    "document_ends": Kind(np.int64, 1),
    "type_counts": Kind(np.int64, 1),
    "type_characters": Kind(np.int16, 2),
}
TYPES = "types.json"
FILES = (*(f"{name}.npy" for name in ARRAYS), TYPES)

#: Types whose characters are computed at a time.
N_ROWS = 1 << 15


def merge_shards(paths: Sequence[Path], folder: Path, pieces: Pieces) -> int:
    """Write the files of a store into a folder. Returns its number of pieces; writes none of 0."""
    sentences, documents = merge_lengths(paths)
    n_pieces = int(sentences.sum())
    if not n_pieces:
        return 0
    counts = count_types(paths)
    types = sorted(counts, key=lambda word: (-counts[word], word))
    ranks = {word: rank for rank, word in enumerate(types)}
    write_json(types, folder / TYPES)
    shape = len(types), pieces.n_characters or 0
    write_array(folder, "type_characters", shape, spell_types(types, pieces))
    write_array(folder, "ids", (n_pieces,), (rank_ids(shard, ranks) for shard in load_all(paths)))
    starts = (shard.word_starts for shard in load_all(paths))
    write_array(folder, "word_starts", (n_pieces,), starts)
    whole = {
        "sentence_ends": np.cumsum(sentences),
        "document_ends": np.cumsum(documents),
        "type_counts": np.array([counts[word] for word in types], dtype=np.int64),
    }
    for name, array in whole.items():
        write_array(folder, name, array.shape, [array])
    return n_pieces


def load_all(paths: Sequence[Path]) -> Iterator[Shard]:
    return map(load_shard, paths)


def write_array(
    folder: Path, name: str, shape: tuple[int, ...], parts: Iterable[NDArray[Any]]
) -> None:
    """Write an array part by part. On a full disk a memory map would end the process instead."""
    dtype = np.dtype(ARRAYS[name].dtype)
    header = {"descr": dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with replacing(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
        write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.astype(dtype, copy=False).tobytes())


def merge_lengths(paths: Sequence[Path]) -> tuple[Ints, Ints]:
    """Pieces of each sentence and sentences of each document that has any."""
    all_sentences, all_documents = [], []
    n_documents = 0
    for shard in load_all(paths):
        n_documents -= int(shard.continues)  # its first one was counted
        numbers = n_documents + np.arange(len(shard.document_lengths))
        n_documents += len(numbers)
        is_kept = shard.sentence_lengths > 0
        all_sentences.append(shard.sentence_lengths[is_kept])
        all_documents.append(np.repeat(numbers, shard.document_lengths)[is_kept])
    _, n_sentences = np.unique(np.concatenate(all_documents), return_counts=True)
    return np.concatenate(all_sentences), n_sentences


def count_types(paths: Sequence[Path]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for shard in load_all(paths):
        counts.update(dict(zip(shard.types, shard.type_counts.tolist(), strict=True)))
    return counts


def spell_types(types: Sequence[str], pieces: Pieces) -> Iterator[Ids]:
    """The characters of types, some at a time; only words have types."""
    if isinstance(pieces, CharacterPieces):
        for i in range(0, len(types), N_ROWS):
            yield pieces.encode_words(types[i : i + N_ROWS])


def rank_ids(shard: Shard, ranks: dict[str, int]) -> Ids:
    if not shard.types:
        return shard.ids
    return np.array([ranks[word] for word in shard.types], dtype=np.int32)[shard.ids]
