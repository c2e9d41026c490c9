"""A corpus as pieces on disk, tokenised once, read through memory maps."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from spacy import about
from spacy.language import Language

from ...atomic_files import is_working_folder, replacing_folder, write_json
from ...errors import Errors
from ...pieces.base import Ids, Ints, Pieces
from ...read_files import compute_checksum, reading
from . import worker_processes
from .raw_text import TextCorpus
from .shards import ARRAYS, FILES, TYPES, merge_shards
from .tokenize_chunk import Recipe, make_recipe
from .worker_processes import make_shards

#: Part of the key: stores of another format are made anew.
FORMAT = 2

META = "meta.json"

#: The names of folders of shards, and of shards.
SHARDS, SHARD = re.compile("shards-[0-9a-f]{16}"), re.compile(r"[0-9]{6,}\.safetensors")


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
        """Open the store in a folder; arrays stay on disk.

        Raises E410 if there is none, E163 if it is damaged.
        """
        folder = Path(folder)
        if not (folder / META).is_file():
            raise ValueError(Errors.E410.format(path=folder))
        with reading(folder / TYPES, "a list of words"):
            types: list[str] = [*map(str, json.loads((folder / TYPES).read_text(encoding="utf8")))]
        store = cls(folder, types=types, **{name: map_array(folder, name) for name in ARRAYS})
        with reading(folder / META, "a token store"):
            store.validate()
        return store

    def validate(self) -> None:
        """Raise ValueError if the lengths of arrays contradict one another."""
        n_pieces, n_sentences = int(self.sentence_ends[-1]), int(self.document_ends[-1])
        lengths = [len(self.ids), len(self.word_starts), len(self.sentence_ends)]
        n_types = {len(self.types), len(self.type_counts), len(self.type_characters)}
        if lengths != [n_pieces, n_pieces, n_sentences] or len(n_types) > 1:
            raise ValueError("its arrays are not of one text")


def map_array(folder: Path, name: str) -> NDArray[Any]:
    """Map the file of an array. Raises E163 for another kind of array."""
    path = folder / f"{name}.npy"
    with reading(path, "an array of a token store"):
        array = open_memmap(path, mode="r")
        if (array.dtype, array.ndim) != ARRAYS[name]:
            raise ValueError(f"it has {array.dtype} in {array.ndim} axes")
    return array


def build_token_store(
    corpus: TextCorpus,
    nlp: Language,
    pieces: Pieces,
    folder: str | Path,
    *,
    n_workers: int = 0,
    shared_with: Sequence[Pieces] = (),
    validate: Callable[[Path], None] | None = None,
) -> TokenStore:
    """Tokenise a corpus, unless that was done before; what an interruption left is gone on with.

    folder: its own, created if need be. A store of another corpus, tokenizer or pieces is
        replaced.
    n_workers: processes that tokenise; 0 for none besides this one, which one chunk does not want
        either. The result is the same. A script that calls this with more than 0 needs
        `if __name__ == "__main__":`.
    shared_with: other pieces, in which other stores hold the text with the same words in the same
        sentences; see shared_words.py.
    validate: is given the folder of a new store before it replaces another one, and may raise.

    Raises E416 for a folder with other files, E411 if the text has no pieces, E164 if the disk is
    full.

    Example:
        store = build_token_store(TextCorpus("text.txt"), nlp, pieces, "store")
        store.ids[: store.sentence_ends[0]]
    """
    folder = Path(folder)
    recipe = make_recipe(nlp, pieces, split=corpus.split, shared_with=shared_with)
    key = compute_key(corpus, recipe)
    if read_meta(folder).get("key") == key and is_whole(folder):
        return TokenStore.open(folder)
    shards = folder / f"shards-{key[:16]}"
    others = sorted(path.name for path in list_foreign(folder))
    if others:
        raise ValueError(Errors.E416.format(path=folder, names=others[:5]))
    for other in folder.glob("shards-*"):
        if other != shards:
            shutil.rmtree(other, ignore_errors=True)
    paths = list(make_shards(corpus, recipe, shards, n_workers=n_workers))
    with replacing_folder(folder, may_exist=True) as new:
        if not merge_shards(paths, new, pieces):
            raise ValueError(Errors.E411.format(path=", ".join(corpus.paths)))
        if validate is not None:
            validate(new)
        write_json({"key": key, "digest": digest_arrays(new)}, new / META)
    return TokenStore.open(folder)


def list_foreign(folder: Path) -> Iterator[Path]:
    """List what is in a folder, and in its folders of shards, that no store has written."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir() and SHARDS.fullmatch(path.name):
            for file in path.iterdir():
                if not SHARD.fullmatch(file.name) and not is_working_folder(file):
                    yield file
        elif path.name not in {META, *FILES} and not is_working_folder(path):
            yield path


def compute_key(corpus: TextCorpus, recipe: Recipe) -> str:
    """Compute a key that changes with whatever the store depends on."""
    status = [(str(path.resolve()), path.stat()) for path in corpus.files]
    files = [(path, found.st_size, found.st_mtime_ns) for path, found in status]
    settings = corpus.layout, corpus.text_field, corpus.limit, corpus.split
    tokenizer = hashlib.sha256(recipe.tokenizer or b"").hexdigest()
    parts = [FORMAT, worker_processes.CHUNK, about.__version__, files, settings, tokenizer]
    parts += [recipe.config, recipe.pieces, *recipe.others]
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_meta(folder: Path) -> dict[str, str]:
    """Read the key of a store, and a digest of what it holds, whatever files it was made of.

    Empty where there is no store.
    """
    try:
        meta = json.loads((folder / META).read_text(encoding="utf8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return meta if isinstance(meta, dict) else {}


def is_whole(folder: Path) -> bool:
    """Tell whether the files of a store are as they were written."""
    try:
        return read_meta(folder).get("digest") == digest_arrays(folder)
    except OSError:
        return False


def digest_arrays(folder: Path) -> str:
    return compute_digest([compute_checksum(folder / name) for name in FILES])


def compute_digest(data: object) -> str:
    text = json.dumps(data, sort_keys=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()
