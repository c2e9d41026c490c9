"""A cache of what a frozen encoder makes of Docs, so that later epochs need not run it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from ..errors import Errors
from ..thinc_model.embedder_shim import EmbedderShim, Wanted
from .keys import Fingerprint, make_key
from .stores import DiskStore, MemoryStore, Store

Floats = NDArray[np.float32]

#: In the order of bytes in which they are stored.
DTYPES = {"float32": "<f4", "float16": "<f2"}

MEGABYTE = 1_000_000


class Features(NamedTuple):
    """What is kept of a Doc. vectors: (n_tokens, width). layers: (L, n_tokens, D), or None."""

    vectors: Floats
    layers: Floats | None


class FeatureCache:
    """Vectors of tokens, and layers where they are wanted, by the content of Docs.

    A Doc that was met before gets what it got then, bit by bit with dtype "float32". One that
    was not is encoded together with others of its kind, so that the last bits may differ from
    those of a run without a cache (1e-5).

    path: a directory; None for memory, which ends with the process, and is not copied with the
        component.
    dtype: "float32", or "float16", which takes half the space and rounds values to 11 bits.
        A Doc with values that float16 cannot hold is not kept.
    max_megabytes: of the records. A token takes width * 4 bytes, and where layers are wanted as
        much for each of them too.
    """

    def __init__(self, path: str | None, *, dtype: str, max_megabytes: int) -> None:
        if dtype not in DTYPES:
            raise ValueError(Errors.E160.format(dtype=dtype, options=list(DTYPES)))
        if max_megabytes <= 0:
            raise ValueError(Errors.E161.format(max_megabytes=max_megabytes))
        self.path = path
        self.dtype = dtype
        self.max_megabytes = max_megabytes
        n_bytes = max_megabytes * MEGABYTE
        self.store: Store = MemoryStore(n_bytes) if path is None else DiskStore(Path(path), n_bytes)
        self._fingerprint = Fingerprint()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has the same settings, and the same directory."""
        return build_feature_cache, (self.path, self.dtype, self.max_megabytes)

    @property
    def megabytes(self) -> float:
        """How much the records take."""
        return self.store.n_bytes / MEGABYTE

    def predict(
        self,
        shim: EmbedderShim,
        docs: Sequence[Doc],
        encode: Callable[[list[Doc]], list[Features]],
        *,
        with_layers: bool,
    ) -> list[Features]:
        """The features of each Doc; found, missing and not kept ones are counted by the shim.

        encode: makes the features of those Docs that were not met before.
        """
        if not docs:
            return []
        kind = f"{'layers' if with_layers else 'vectors'} {self.dtype}"
        split, fingerprint = shim.windowing.split_sentences, self._fingerprint.get(shim)
        keys = [make_key(fingerprint, kind, doc, split_sentences=split) for doc in docs]
        records = self.store.read(keys)
        missing = [i for i, record in enumerate(records) if record is None]
        encoded = encode([docs[i] for i in missing]) if missing else []
        packed = [(keys[i], self._pack(found)) for i, found in zip(missing, encoded, strict=True)]
        n_full = self.store.write([(key, data) for key, data in packed if data is not None])
        shim.counts.update(
            cache_hits=len(docs) - len(missing), cache_misses=len(missing), cache_full=n_full
        )
        new = iter(encoded)
        return [
            next(new) if record is None else self._unpack(record, shim, doc, with_layers)
            for record, doc in zip(records, docs, strict=True)
        ]

    def _pack(self, features: Features) -> bytes | None:
        """A record, vectors first; None where it would not hold the values."""
        parts = [part for part in features if part is not None]
        with np.errstate(over="ignore"):
            flat = np.concatenate([np.ravel(part) for part in parts]).astype(DTYPES[self.dtype])
        return flat.tobytes() if np.isfinite(flat).all() else None

    def _unpack(self, record: bytes, shim: EmbedderShim, doc: Doc, with_layers: bool) -> Features:
        """What was packed, in arrays that may be written to."""
        encoder, width = shim.embedder.encoder, shim.embedder.width
        flat = np.frombuffer(record, dtype=DTYPES[self.dtype])
        vectors, layers = np.split(flat, [len(doc) * width])
        shape = (encoder.n_layers, len(doc), encoder.width)
        return Features(
            vectors.astype(np.float32).reshape(len(doc), width),
            layers.astype(np.float32).reshape(shape) if with_layers else None,
        )


def build_feature_cache(
    path: str | None = None, dtype: str = "float32", max_megabytes: int = 2048
) -> FeatureCache:
    """`spacy-ctxemb.FeatureCache.v1`: see FeatureCache."""
    return FeatureCache(path, dtype=dtype, max_megabytes=max_megabytes)


def find_obstacle(shim: EmbedderShim, wanted: Wanted) -> str | None:
    """Why features cannot come from a cache, if so."""
    if wanted.boundaries or wanted.doc_pooling or wanted.attention:
        return "it does not hold what boundaries, doc_pooling and keep_attention ask for"
    if shim.embedder.wants_whole_calls:
        return 'with stateful or layer_norm = "batch" vectors depend on what is encoded together'
    return None
