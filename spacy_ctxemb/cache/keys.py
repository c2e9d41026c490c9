"""What vectors depend on, as short keys: the text of a Doc, and the encoder that reads it."""

import hashlib
import json
from dataclasses import asdict
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
MODULE_ATTRIBUTES = frozenset(vars(nn.Module()))


class Fingerprint:
    """The key of an encoder: of its weights, settings and pieces, and of this package's version.

    It is computed again when one of them has changed; a copy starts anew.

        fingerprint = Fingerprint()
        key = make_key(fingerprint.get(shim), "vectors", doc, split_sentences=True)
    """

    def __init__(self) -> None:
        self._held: tuple[object, bytes] | None = None

    @in_ordinary_torch
    def get(self, shim: EmbedderShim) -> bytes:
        """The key of a shim as it is now.

        Raises E008 for a shim without weights, E253 for a mix with values that JSON cannot hold.
        """
        shim.check_materialised()
        settings = json.dumps(describe(shim), default=to_plain)
        state = (shim.weights_digest.get(shim.embedder), settings, shim.pieces.content)
        held = self._held  # another thread may replace it meanwhile
        if held is None or held[0] != state:
            texts = (part.encode("utf8", "surrogatepass") for part in state[1:])
            held = self._held = state, digest(state[0], *map(digest, texts))
        return held[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return Fingerprint, ()


def make_key(fingerprint: bytes, kind: str, doc: Doc, *, split_sentences: bool) -> bytes:
    """The key of what an encoder makes of a Doc: of all that `encode_docs` reads from it.

    kind: what of it, and in which form.
    """
    text = doc.text.encode("utf8", "surrogatepass")
    tokens = doc.to_array(["IDX", "LENGTH", "IS_SPACE"]).astype("<i8")  # (n_tokens, 3)
    starts = find_sequence_starts(doc) if split_sentences else [0]
    head = repr((kind, len(text), len(doc), starts)).encode("ascii")
    return digest(fingerprint, head, text, tokens.tobytes())


def digest(*parts: bytes) -> bytes:
    """A short name for some bytes."""
    found = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in parts:
        found.update(part)
    return found.digest()


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
            [name, name_of(type(part)), {k: v for k, v in vars(part).items() if is_own(k)}]
            for name, part in mix.named_modules()
        ],
        "pooling": name_of(embedder.pool),
        "width": embedder.width,
    }


def is_own(attribute: str) -> bool:
    """Whether an attribute of a module is not one that PyTorch gives to all of them."""
    return attribute not in MODULE_ATTRIBUTES


def to_plain(value: object) -> list[int] | str:
    """What JSON does not know by itself: the numbers of layers, functions, types of numbers."""
    if isinstance(value, range):
        return list(value)
    if isinstance(value, torch.dtype) or hasattr(value, "__qualname__"):
        return str(value) if isinstance(value, torch.dtype) else name_of(value)
    raise ValueError(Errors.E253.format(found=name_of(type(value))))


def name_of(value: Any) -> str:
    """The full name of a class or function."""
    return f"{value.__module__}.{value.__qualname__}"
