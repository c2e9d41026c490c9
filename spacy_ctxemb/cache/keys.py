"""What vectors depend on, as short keys: the text of a Doc, and the encoder that reads it."""

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import torch
from spacy.tokens import Doc
from torch import nn

from .. import __version__
from ..errors import Errors
from ..thinc_model.embedder_shim import EmbedderShim
from ..torch_state import in_ordinary_torch
from ..windows.docs_to_pieces import find_sequence_starts

#: Bytes of a key. So many that two texts never share one.
KEY_BYTES = 32

#: What PyTorch itself keeps in a module: parameters, hooks, the mode.
OF_PYTORCH = frozenset(vars(nn.Module()))


@in_ordinary_torch
def make_encoder_key(shim: EmbedderShim) -> bytes:
    """The key of an encoder: of its weights, settings and pieces, and of this package's version.

    Raises E008 for a shim without weights, E253 for a mix with values that JSON cannot hold.
    """
    shim.check_materialised()
    settings = digest_text(json.dumps(describe(shim), default=to_plain))
    weights, pieces = shim.weights_digest.get(shim.embedder), digest_text(shim.pieces.content)
    return digest(weights, settings, pieces)


def make_key(encoder: bytes, kind: str, doc: Doc, *, split_sentences: bool) -> bytes:
    """The key of what an encoder makes of a Doc: of all that `encode_docs` reads from it.

    encoder: its own key. kind: what of it, and in which form.
    """
    text = doc.text.encode("utf8", "surrogatepass")
    tokens = doc.to_array(["IDX", "LENGTH", "IS_SPACE"]).astype("<i8")  # (n_tokens, 3)
    starts = find_sequence_starts(doc) if split_sentences else [0]
    head = repr((kind, len(text), len(doc), starts)).encode("ascii")
    return digest(encoder, head, text, tokens.tobytes())


def digest(*parts: bytes) -> bytes:
    """A short name for some bytes."""
    found = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in parts:
        found.update(part)
    return found.digest()


@lru_cache(16)
def digest_text(text: str) -> bytes:
    """The same of a text, which may be a large vocabulary."""
    return digest(text.encode("utf8", "surrogatepass"))


def describe(shim: EmbedderShim) -> dict[str, Any]:
    """Whatever besides weights and pieces decides what an encoder makes of a text.

    Settings that act in training alone are left out.
    """
    embedder, encoder, mix = shim.embedder, shim.embedder.encoder, shim.embedder.mix
    return {
        "version": __version__,
        "windowing": asdict(shim.windowing),
        "encoder": [name_of(type(encoder)), encoder.settings, encoder.precision],
        "mix": [
            [
                name,
                name_of(type(part)),
                {k: v for k, v in vars(part).items() if k not in OF_PYTORCH},
            ]
            for name, part in mix.named_modules()
        ],
        "pooling": name_of(embedder.pool),
        "width": embedder.width,
    }


def to_plain(value: object) -> list[int] | str:
    """What JSON does not know by itself: the numbers of layers, functions, types of numbers."""
    if isinstance(value, range):
        return list(value)
    if isinstance(value, torch.dtype):
        return str(value)
    if hasattr(value, "__qualname__"):
        return name_of(value)
    raise ValueError(Errors.E253.format(found=name_of(type(value))))


def name_of(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
