"""A cache of what a frozen encoder makes of Docs, so that later epochs need not run it."""

import os
from collections.abc import Sequence
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d, Floats3d

from ..embedder.output_types import Wanted
from ..errors import Errors
from ..thinc_model.docs_to_outputs import Outputs, embed_docs
from ..thinc_model.embedder_shim import EmbedderShim, get_shim
from ..windows.docs_to_pieces import encode_docs, list_pieces
from .keys import make_encoder_key, make_key
from .memory_and_disk_stores import DiskStore, MemoryStore

#: In the order of bytes in which they are stored.
DTYPES = {"float32": "<f4", "float16": "<f2"}

MEGABYTE = 1_000_000


class FeatureCache:
    """Vectors of tokens, and layers where they are wanted, by the content of Docs.

    A Doc that was met before gets what it got then, bit by bit with dtype "float32". One that
    was not is encoded together with others of its kind, so that the last bits may differ from
    those of a run without a cache (1e-5).

    path: a directory, which stays the same one when the program changes its working directory;
        None for memory, which ends with the process, and is not copied with the component.
    dtype: "float32", or "float16", which takes half the space and rounds values to 11 bits.
        A Doc with values that float16 cannot hold is not kept.
    max_megabytes: of the records. A token takes width * 4 bytes, and where layers are wanted as
        much for each of them too.
    """

    def __init__(self, path: str | None, *, dtype: str, max_megabytes: int) -> None:
        if dtype not in DTYPES:
            raise ValueError(Errors.E250.format(dtype=dtype, options=list(DTYPES)))
        if max_megabytes <= 0:
            raise ValueError(Errors.E251.format(max_megabytes=max_megabytes))
        if path is not None:
            with suppress(FileNotFoundError):  # the working directory is gone
                path = os.path.abspath(path)
        self.path = path
        self.dtype = dtype
        self.max_megabytes = max_megabytes
        n_bytes = max_megabytes * MEGABYTE
        self.store: MemoryStore | DiskStore
        self.store = MemoryStore(n_bytes) if path is None else DiskStore(Path(path), n_bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has the same settings, and the same directory."""
        return build_feature_cache, (self.path, self.dtype, self.max_megabytes)

    @property
    def megabytes(self) -> float:
        """How much the records take."""
        return self.store.n_bytes / MEGABYTE

    def look_up_or_embed(
        self, model: Model[Any, Any], docs: Sequence[Doc], wanted: Wanted
    ) -> list[Outputs]:
        """Look up each Doc, encode those that are missing, and store what was made of them.

        The encoder counts hits, misses, and Docs that are not kept.
        model: of one encoder. wanted: nothing that `find_obstacle` objects to.
        """
        shim, ops = get_shim(model), model.ops
        if not docs:
            return []
        kind = f"{'layers' if wanted.layers else 'vectors'} {self.dtype}"
        split, encoder = shim.windowing.split_sentences, make_encoder_key(shim)
        keys = [make_key(encoder, kind, doc, split_sentences=split) for doc in docs]
        sizes = [self._count_bytes(doc, shim, wanted) for doc in docs]
        records = self.store.read(keys)
        for i, (record, size) in enumerate(zip(records, sizes, strict=True)):
            if record is not None and len(record) != size:
                self.store.forget([keys[i]])
                records[i] = None
        missing = [i for i, record in enumerate(records) if record is None]
        made, _ = embed_docs(model, [docs[i] for i in missing], wanted, is_train=False)
        n_left_out = self._store([keys[i] for i in missing], made, ops)
        shim.counts.update(
            cache_hits=len(docs) - len(missing), cache_misses=len(missing), cache_full=n_left_out
        )
        found = [(doc, data) for doc, data in zip(docs, records, strict=True) if data is not None]
        known = iter(self._unpack(found, shim, wanted, ops))
        new = iter(made)
        return [next(new if record is None else known) for record in records]

    def _count_bytes(self, doc: Doc, shim: EmbedderShim, wanted: Wanted) -> int:
        """How many bytes the record of a Doc has."""
        encoder, width = shim.embedder.encoder, shim.embedder.width
        if wanted.layers:
            width += encoder.n_layers * encoder.width
        return len(doc) * width * np.dtype(DTYPES[self.dtype]).itemsize

    def _store(self, keys: Sequence[bytes], made: Sequence[Outputs], ops: Ops) -> int:
        """Keep what was made, vectors first, unless the dtype cannot hold it.

        Returns how many Docs are not kept.
        """
        records = []
        for key, one in zip(keys, made, strict=True):
            parts = [ops.to_numpy(part) for part in (one.vectors, one.layers) if part is not None]
            with np.errstate(over="ignore", under="ignore"):
                flat = np.concatenate([np.ravel(x) for x in parts]).astype(DTYPES[self.dtype])
            if np.isfinite(flat).all():
                records.append((key, flat.tobytes()))
        return len(made) - len(records) + self.store.write(records)

    def _unpack(
        self, found: Sequence[tuple[Doc, bytes]], shim: EmbedderShim, wanted: Wanted, ops: Ops
    ) -> list[Outputs]:
        """What was stored of some Docs, in arrays that may be written to."""
        encoder, width = shim.embedder.encoder, shim.embedder.width
        outputs = []
        for doc, record in found:
            flat = np.frombuffer(record, dtype=DTYPES[self.dtype])
            vectors, layers = np.split(flat, [len(doc) * width])
            vectors = vectors.astype(np.float32).reshape(len(doc), width)
            one = Outputs(ops.asarray2f(cast(Floats2d, vectors)))
            if wanted.layers:
                shape = (encoder.n_layers, len(doc), encoder.width)
                one.layers = cast(Floats3d, layers.astype(np.float32).reshape(shape))
            outputs.append(one)
        if wanted.pieces and found:
            encoded = encode_docs([doc for doc, _ in found], shim.pieces, split_sentences=False)
            for one, pieces in zip(outputs, list_pieces(encoded, shim.pieces), strict=True):
                one.pieces = pieces
        return outputs


def build_feature_cache(
    path: str | None = None, dtype: str = "float32", max_megabytes: int = 2048
) -> FeatureCache:
    """`spacy-ctxemb.FeatureCache.v1`: see FeatureCache."""
    return FeatureCache(path, dtype=dtype, max_megabytes=max_megabytes)


def find_obstacle(shim: EmbedderShim, wanted: Wanted) -> str | None:
    """Why what is wanted cannot come from a cache; None where it can."""
    settings = {
        f"doc_pooling = '{wanted.doc_pooling}'": wanted.doc_pooling,
        "boundaries = true": wanted.boundaries,
        "keep_attention = true": wanted.attention,
        "a PieceStatesListener": wanted.states,
    }
    asked = " and ".join(setting for setting, is_set in settings.items() if is_set)
    if asked:
        advice = "; `import bert --no-pooling` sets none" if wanted.doc_pooling else ""
        return f"it does not hold what {asked} asks for{advice}"
    encoder = shim.embedder.encoder
    if set(encoder.settings) != set(signature(type(encoder)).parameters):
        return f"{type(encoder).__name__} does not keep all arguments of its constructor"
    if shim.embedder.wants_whole_calls:
        return 'with stateful or layer_norm = "batch" vectors depend on what is encoded together'
    return None
