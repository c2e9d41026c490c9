"""Shards of a corpus into one store: arrays laid end to end, types numbered by frequency."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ..errors import Errors
from ..files import replacing
from ..pieces import CharacterPieces, Ints
from .tokenizing import load_shard

#: Types whose characters are computed at a time.
N_ROWS = 1 << 15


def merge_shards(paths: Sequence[Path], folder: Path, pieces: CharacterPieces | None) -> None:
    """Write the arrays of a store.

    pieces: those that spell the types, None where pieces are not words.
    """
    sentences, documents = merge_lengths(paths)
    if not len(sentences):
        raise ValueError(Errors.E181.format(path=folder))
    write_array(folder / "sentence_ends.npy", np.cumsum(sentences))
    write_array(folder / "document_ends.npy", np.cumsum(documents))
    ranks: dict[str, int] = {}
    if pieces is not None:
        counts = count_types(paths)
        ranks = {word: i for i, word in enumerate(sorted(counts, key=lambda w: (-counts[w], w)))}
        write_types(folder, list(ranks), counts, pieces)
    write_ids(paths, folder, int(sentences.sum()), ranks)


def merge_lengths(paths: Sequence[Path]) -> tuple[Ints, Ints]:
    """Pieces of each sentence and sentences of each document that has any."""
    all_sentences, all_documents = [], []
    n_documents = 0
    for path in paths:
        shard = load_shard(path)
        document = np.repeat(np.arange(len(shard.document_lengths)), shard.document_lengths)
        document += n_documents - int(shard.continues)
        n_documents += len(shard.document_lengths) - int(shard.continues)
        is_kept = shard.sentence_lengths > 0
        all_sentences.append(shard.sentence_lengths[is_kept])
        all_documents.append(document[is_kept])
    _, n_sentences = np.unique(np.concatenate(all_documents), return_counts=True)
    return np.concatenate(all_sentences), n_sentences


def count_types(paths: Sequence[Path]) -> Counter[str]:
    """How often each type occurs in all shards."""
    counts: Counter[str] = Counter()
    for path in paths:
        shard = load_shard(path)
        pairs = zip(shard.read_types(), shard.type_counts.tolist(), strict=True)
        counts.update(dict(pairs))
    return counts


def write_types(
    folder: Path, types: Sequence[str], counts: Counter[str], pieces: CharacterPieces
) -> None:
    """The types in their order, how often they occur, and their characters."""
    with replacing(folder / "types.json") as temporary:
        temporary.write_text(json.dumps(types), encoding="utf8")
    write_array(folder / "type_counts.npy", np.array([counts[word] for word in types]))
    shape = len(types), pieces.n_characters
    with replacing(folder / "type_characters.npy") as temporary:
        rows = open_memmap(temporary, mode="w+", dtype=np.int16, shape=shape)
        for i in range(0, len(types), N_ROWS):
            rows[i : i + N_ROWS] = pieces.encode_words(types[i : i + N_ROWS])
        rows.flush()


def write_ids(paths: Sequence[Path], folder: Path, n_pieces: int, ranks: dict[str, int]) -> None:
    """The pieces of all shards, types by their rank."""
    with (
        replacing(folder / "ids.npy") as ids_path,
        replacing(folder / "word_starts.npy") as starts_path,
    ):
        ids = open_memmap(ids_path, mode="w+", dtype=np.int32, shape=(n_pieces,))
        word_starts = open_memmap(starts_path, mode="w+", dtype=np.bool_, shape=(n_pieces,))
        at = 0
        for path in paths:
            shard = load_shard(path)
            span = slice(at, at + len(shard.ids))
            new = np.array([ranks[word] for word in shard.read_types()], dtype=np.int32)
            ids[span] = new[shard.ids] if ranks else shard.ids
            word_starts[span] = shard.word_starts
            at = span.stop
        ids.flush()
        word_starts.flush()


def write_array(path: Path, array: NDArray[Any]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)
