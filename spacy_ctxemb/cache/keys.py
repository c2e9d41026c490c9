"""What vectors depend on, as short keys: the text of a Doc, and the encoder that reads it."""

import hashlib
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from torch import Tensor, nn

from .. import __version__
from ..encoders.derived_weights import Derived
from ..errors import Errors
from ..thinc_model.embedder_shim import EmbedderShim
from ..windows.docs import find_sequence_starts

#: Bytes of a key. So many that two texts never share one.
KEY_BYTES = 32

#: What PyTorch itself keeps in a module: parameters, hooks, the mode.
MODULE_ATTRIBUTES = frozenset(vars(nn.Module()))

#: What acts in training alone.
TRAINING_ATTRIBUTES = frozenset({"training_precision", "recomputes", "recomputes_batches"})


class Fingerprint:
    """The key of an encoder: of its weights, settings and pieces, and of this package's version.

    It is computed again when one of them has changed; a copy starts anew.
    """

    def __init__(self) -> None:
        self._held: tuple[object, bytes] | None = None

    def get(self, shim: EmbedderShim) -> bytes:
        """The key of a shim as it is now."""
        shim.check_materialised()
        state = (shim.weights_digest.get(shim.embedder), describe_settings(shim))
        held = self._held  # another thread may replace it meanwhile
        if held is None or held[0] != state:
            held = self._held = state, digest(repr(state).encode("utf8", "surrogatepass"))
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


def describe_settings(shim: EmbedderShim) -> tuple[Any, ...]:
    """Whatever besides weights decides what an encoder makes of a text."""
    # What a pickle would hold: all but the words that were met so far.
    pieces = shim.pieces.__reduce_ex__(2)[2]
    return (
        __version__,
        describe_module(shim.embedder),
        describe(shim.windowing),
        name_of(type(shim.pieces)),
        describe(pieces),
    )


def describe_module(module: nn.Module) -> tuple[Any, ...]:
    """The classes and settings of a module and those beneath it; dropout, which does not act in
    inference, left out."""
    return tuple(
        (name, name_of(type(child)), describe(read_settings(child)))
        for name, child in module.named_modules()
        if not isinstance(child, nn.Dropout)
    )


def read_settings(module: nn.Module) -> dict[str, Any]:
    """A module's own attributes, but nothing that was computed from others."""
    if type(module).__module__.startswith("transformers."):
        return {}  # our wrapper of such a model has the config they come from
    return {
        name: value
        for name, value in vars(module).items()
        if name not in MODULE_ATTRIBUTES | TRAINING_ATTRIBUTES and not isinstance(value, Derived)
    }


def describe(value: Any) -> Any:
    """A value as nested tuples of plain ones, equal where it acts equally.

    Long strings are passed on as they are: that an object is equal to itself is seen at once.
    """
    if value is None or isinstance(value, bool | int | float | str | bytes) and not is_enum(value):
        return value
    if isinstance(value, Enum | torch.dtype | torch.device | Path | range):
        return repr(value)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return "array", array.dtype.str, array.shape, array.tobytes()
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return "tensor", str(value.dtype), tuple(value.shape), data
    if isinstance(value, Mapping):
        return "mapping", *sorted(((repr(k), describe(v)) for k, v in value.items()), key=first)
    if isinstance(value, list | tuple):
        return name_of(type(value)), *map(describe, value)
    if isinstance(value, set | frozenset):
        return "set", *sorted(map(repr, map(describe, value)))
    return describe_object(value)


def describe_object(value: Any) -> Any:
    """The same of functions, and of objects with attributes."""
    if isinstance(value, partial):
        return "partial", describe(value.func), describe(value.args), describe(value.keywords)
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return name_of(value), describe(cells), describe(value.__defaults__)
    if isinstance(value, type | type(len)):
        return name_of(value)
    if isinstance(value, nn.Module):
        return describe_module(value)
    if hasattr(value, "__dict__"):
        return name_of(type(value)), describe(vars(value))
    raise ValueError(Errors.E164.format(found=name_of(type(value))))


def is_enum(value: object) -> bool:
    return isinstance(value, Enum)


def first(pair: tuple[str, Any]) -> str:
    return pair[0]


def name_of(value: Callable[..., Any]) -> str:
    """The full name of a class or function."""
    return f"{value.__module__}.{value.__qualname__}"
