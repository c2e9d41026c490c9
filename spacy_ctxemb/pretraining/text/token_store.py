"""A corpus as pieces on disk, tokenised once, read through memory maps."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from spacy import about
from spacy.language import Language

from ...atomic_files import compute_checksum, replacing
from ...errors import Errors
from ...pieces.base import Ids, Ints, Pieces
from ...pieces.characters import CharacterPieces
from . import tokenize_in_parallel
from .merge_shards import ARRAYS, merge_shards
from .raw_text import TextCorpus
from .tokenize_in_parallel import make_shards
from .tokenize_worker import Recipe, make_recipe

#: Part of the key: stores of another format are made anew.
FORMAT = 1

META, SHARDS, KEY = "meta.json", "shards", "key.json"


@dataclass(frozen=True)
class TokenStore:
    """Holds what a model reads of a corpus.

    ids: (P,), of pieces; for CharacterPieces the type of each word.
    word_starts: (P,), whether a piece begins a word.
    sentence_ends: (S,), the piece after each sentence.
    document_ends: (D,), the sentence after each document. None is empty.
    types: words by falling frequency, ties in alphabetical order; none for other pieces.
    type_counts: (n_types,), how often each occurs.
    type_characters: (n_types, C), their pieces.
    """

    folder: Path
    ids: Ids
    word_starts: NDArray[np.bool_]
    sentence_ends: Ints
    document_ends: Ints
    types: list[str]
    type_counts: Ints
    type_characters: NDArray[np.int16]

    @classmethod
    def open(cls, folder: str | Path) -> "TokenStore":
        """Open the store in a folder; arrays stay on disk. Raises E410 if there is none."""
        folder = Path(folder)
        if not (folder / META).is_file():
            raise ValueError(Errors.E410.format(path=folder))
        meta = json.loads((folder / META).read_text(encoding="utf8"))
        names = ("ids", "word_starts", "sentence_ends", "document_ends")
        maps = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
        if not meta["has_types"]:
            counts, rows = np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.int16)
            return cls(folder, **maps, types=[], type_counts=counts, type_characters=rows)
        return cls(
            folder,
            **maps,
            types=json.loads((folder / "types.json").read_text(encoding="utf8")),
            type_counts=np.load(folder / "type_counts.npy"),
            type_characters=np.load(folder / "type_characters.npy", mmap_mode="r"),
        )


def build_token_store(
    corpus: TextCorpus,
    nlp: Language,
    pieces: Pieces,
    folder: str | Path,
    *,
    n_workers: int = 0,
    validate: Callable[[Path], None] | None = None,
) -> TokenStore:
    """Tokenise a corpus, unless that was done before; what an interruption left is gone on with.

    folder: its own, created if need be. A store of another corpus, tokenizer or pieces is
        replaced.
    n_workers: processes that tokenise; 0 for none besides this one, which one chunk does not want
        either. The result is the same. A script that calls this with more than 0 needs
        `if __name__ == "__main__":`.
    validate: is given the folder of a new store before it replaces another one, and may raise.

    Raises E411 if the text has no pieces.

    Example:
        store = build_token_store(TextCorpus("text.txt"), nlp, pieces, "store")
        store.ids[: store.sentence_ends[0]]
    """
    folder = Path(folder)
    recipe = make_recipe(nlp, pieces, split=corpus.split)
    key = compute_key(corpus, recipe)
    if read_key(folder / META) == key and is_whole(folder):
        return TokenStore.open(folder)
    shards = folder / SHARDS
    if read_key(shards / KEY) != key:
        shutil.rmtree(shards, ignore_errors=True)
        shards.mkdir(parents=True)
        write_json(shards / KEY, {"key": key})
    paths = list(make_shards(corpus, recipe, shards, n_workers=n_workers))
    if not merge_shards(paths, shards, pieces):
        raise ValueError(Errors.E411.format(path=", ".join(corpus.paths)))
    if validate is not None:
        validate(shards)
    (folder / META).unlink(missing_ok=True)
    for name in ARRAYS:
        if (shards / name).exists():
            (shards / name).replace(folder / name)
    meta = {"key": key, "has_types": isinstance(pieces, CharacterPieces)}
    write_json(folder / META, {**meta, "digest": digest_arrays(folder)})
    shutil.rmtree(shards)
    return TokenStore.open(folder)


def compute_key(corpus: TextCorpus, recipe: Recipe) -> str:
    """Compute a key that changes with whatever the store depends on."""
    status = [(str(path.resolve()), path.stat()) for path in corpus.files]
    files = [(path, found.st_size, found.st_mtime_ns) for path, found in status]
    settings = corpus.layout, corpus.text_field, corpus.limit, corpus.split
    tokenizer = hashlib.sha256(recipe.tokenizer or b"").hexdigest()
    parts = [FORMAT, tokenize_in_parallel.CHUNK, about.__version__, files, settings, tokenizer]
    text = json.dumps([*parts, recipe.config, recipe.pieces], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_key(path: Path) -> str | None:
    """Read the key in a JSON file; None where it cannot be read."""
    try:
        key: str = json.loads(path.read_text(encoding="utf8"))["key"]
    except (OSError, ValueError, KeyError):
        return None
    return key


def read_digest(folder: Path) -> str:
    """Read a digest of what a store holds, whatever files it was made of."""
    digest: str = json.loads((folder / META).read_text(encoding="utf8"))["digest"]
    return digest


def is_whole(folder: Path) -> bool:
    """Tell whether the arrays of a store are as they were written."""
    try:
        return read_digest(folder) == digest_arrays(folder)
    except (OSError, KeyError):
        return False


def digest_arrays(folder: Path) -> str:
    paths = [folder / name for name in ARRAYS]
    return compute_digest([compute_checksum(path) for path in paths if path.exists()])


def compute_digest(data: object) -> str:
    text = json.dumps(data, sort_keys=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def write_json(path: Path, data: object) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf8")
