"""Shards of a corpus into one store: arrays laid end to end, types numbered by frequency."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from ...pieces.base import Ints, Pieces
from ...pieces.characters import CharacterPieces
from .tokenize_worker import load_shard

#: What is written here; the last three where pieces are words.
ARRAYS = (
    *("ids.npy", "word_starts.npy", "sentence_ends.npy", "document_ends.npy"),
    *("types.json", "type_counts.npy", "type_characters.npy"),
)

#: Types whose characters are computed at a time.
N_ROWS = 1 << 15


def merge_shards(paths: Sequence[Path], folder: Path, pieces: Pieces) -> int:
    """Write the files of a store into a folder. Returns its number of pieces; writes none of 0."""
    sentences, documents = merge_lengths(paths)
    n_pieces = int(sentences.sum())
    if n_pieces:
        np.save(folder / "sentence_ends.npy", np.cumsum(sentences))
        np.save(folder / "document_ends.npy", np.cumsum(documents))
        ranks = None
        if isinstance(pieces, CharacterPieces):
            ranks = write_types(folder, count_types(paths), pieces)
        write_ids(paths, folder, n_pieces, ranks)
    return n_pieces


def merge_lengths(paths: Sequence[Path]) -> tuple[Ints, Ints]:
    """Pieces of each sentence and sentences of each document that has any."""
    all_sentences, all_documents = [], []
    n_documents = 0
    for path in paths:
        shard = load_shard(path)
        n_documents -= int(shard.continues)  # its first one was counted
        numbers = n_documents + np.arange(len(shard.document_lengths))
        n_documents += len(numbers)
        is_kept = shard.sentence_lengths > 0
        all_sentences.append(shard.sentence_lengths[is_kept])
        all_documents.append(np.repeat(numbers, shard.document_lengths)[is_kept])
    _, n_sentences = np.unique(np.concatenate(all_documents), return_counts=True)
    return np.concatenate(all_sentences), n_sentences


def count_types(paths: Sequence[Path]) -> Counter[str]:
    """How often each type occurs in all shards."""
    counts: Counter[str] = Counter()
    for path in paths:
        shard = load_shard(path)
        counts.update(dict(zip(shard.read_types(), shard.type_counts.tolist(), strict=True)))
    return counts


def write_types(folder: Path, counts: Counter[str], pieces: CharacterPieces) -> dict[str, int]:
    """The types by falling frequency, how often they occur, and their characters."""
    types = sorted(counts, key=lambda word: (-counts[word], word))
    (folder / "types.json").write_text(json.dumps(types), encoding="utf8")
    np.save(folder / "type_counts.npy", np.array([counts[word] for word in types]))
    shape = len(types), pieces.n_characters
    rows = open_memmap(folder / "type_characters.npy", "w+", dtype=np.int16, shape=shape)
    for i in range(0, len(types), N_ROWS):
        rows[i : i + N_ROWS] = pieces.encode_words(types[i : i + N_ROWS])
    rows.flush()
    return {word: rank for rank, word in enumerate(types)}


def write_ids(
    paths: Sequence[Path], folder: Path, n_pieces: int, ranks: dict[str, int] | None
) -> None:
    """The pieces of all shards, types by their rank."""
    ids = open_memmap(folder / "ids.npy", "w+", dtype=np.int32, shape=(n_pieces,))
    starts = open_memmap(folder / "word_starts.npy", "w+", dtype=np.bool_, shape=(n_pieces,))
    at = 0
    for path in paths:
        shard = load_shard(path)
        span = slice(at, at + len(shard.ids))
        ids[span], starts[span] = shard.ids, shard.word_starts
        if ranks is not None:
            new = np.array([ranks[word] for word in shard.read_types()], dtype=np.int32)
            ids[span] = new[shard.ids]
        at = span.stop
    ids.flush()
    starts.flush()
