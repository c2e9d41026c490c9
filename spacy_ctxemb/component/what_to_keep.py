"""What the component keeps of each Doc: settings that may change at any time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..cache.feature_cache import FeatureCache, find_obstacle
from ..embedder.memory_budget import find_least, parse_bytes
from ..embedder.output_types import Wanted
from ..embedder.text_pooling import DOC_POOLINGS
from ..errors import Errors
from ..stack.name_encoders import name_encoders, require_single
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import EmbedderShim

if TYPE_CHECKING:
    from .pipe import ContextualEmbedder

KEEP = ("tensor", "layers", "none")

#: What a Stack cannot do, and the values to set for it.
NEED_SINGLE = {
    **{"keep": "tensor", "boundaries": "false", "doc_pooling": "null"},
    **{"keep_pieces": "false", "keep_attention": "false"},
}

Value = TypeVar("Value")


@dataclass(frozen=True)
class Settings:
    """The settings of a component; see factory.py for what they mean."""

    keep: str
    boundaries: bool = False
    doc_pooling: str | None = None
    normalize: bool = False
    keep_pieces: bool = False
    keep_attention: bool = False
    cache: FeatureCache | None = None
    max_memory: int | str | None = None

    def want(self, *, layers_listened_to: bool, states_listened_to: bool) -> Wanted:
        """What is wanted of the encoder besides token vectors."""
        return Wanted(
            layers=self.keep == "layers" or layers_listened_to,
            boundaries=self.boundaries,
            doc_pooling=self.doc_pooling if self.keep != "none" else None,
            normalize=self.normalize,
            pieces=self.keep_pieces,
            attention=self.keep_attention,
            states=states_listened_to,
        )

    def validate(self, model: ContextualModel, name: str) -> None:
        """Raise E001, E003, E004, E007, E002 or E016 for values that are none, E005, E006 or E017
        for what the encoder cannot do, and E044 for what needs a single encoder."""
        if self.keep not in KEEP:
            raise ValueError(Errors.E001.format(keep=self.keep, name=name, options=list(KEEP)))
        if self.cache is not None and not isinstance(self.cache, FeatureCache):
            raise ValueError(Errors.E007.format(name=name, found=repr(self.cache)))
        options = list(DOC_POOLINGS)
        if self.doc_pooling is not None and self.doc_pooling not in options:
            raise ValueError(Errors.E003.format(name=self.doc_pooling, options=options))
        if self.normalize and self.doc_pooling is None:
            raise ValueError(Errors.E004.format(name=name, options=options))
        for setting in ("boundaries", "normalize", "keep_pieces", "keep_attention"):
            value = getattr(self, setting)
            if not isinstance(value, bool):
                raise ValueError(Errors.E002.format(setting=setting, name=name, value=value))
        n_bytes = parse_bytes(self.max_memory)
        if self.max_memory is not None and n_bytes is None:
            raise ValueError(Errors.E016.format(max_memory=self.max_memory, name=name))
        for setting, default in NEED_SINGLE.items():
            value = getattr(self, setting)
            if value not in (None, False, "tensor", "none"):
                advice = f"Set it to {default}, or use that encoder in a pipeline of its own."
                require_single(model, name, f"{setting} = {value}", advice)
        for encoder_name, shim in name_encoders(model, name).items():
            if n_bytes is not None:
                check_fits(n_bytes, shim, encoder_name)
            mix, encoder = shim.embedder.mix, shim.embedder.encoder
            has_no_boundaries = mix.whole_documents and not mix.whole_batch
            lacking = {None: False, "cls": mix.of_tokens or has_no_boundaries}
            if lacking.get(self.doc_pooling, mix.of_tokens):
                raise ValueError(Errors.E005.format(name=name, doc_pooling=self.doc_pooling))
            if self.keep_attention and not encoder.has_attention:
                raise ValueError(Errors.E006.format(name=name, encoder=type(encoder).__name__))


def check_fits(n_bytes: int, shim: EmbedderShim, name: str) -> None:
    """Raise E017 where not even one window of an encoder fits into its memory."""
    least, window = find_least(shim.embedder, shim.windowing), shim.windowing.window
    if n_bytes < least:
        found = {"name": name, "max_memory": n_bytes, "least": least, "window": window}
        raise ValueError(Errors.E017.format(**found))


class Setting(Generic[Value]):
    """A setting as an attribute of the component: validated when it is set, and used at once."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, pipe: ContextualEmbedder | None, owner: type) -> Value:
        return cast(Value, self if pipe is None else getattr(pipe.settings, self.name))

    def __set__(self, pipe: ContextualEmbedder, value: Value) -> None:
        pipe.use_settings(replace(pipe.settings, **{self.name: cast(Any, value)}))


def warn_of_useless_cache(
    cache: FeatureCache | None, model: ContextualModel, name: str, wanted: Wanted
) -> None:
    """Warn (W005) where an encoder's vectors cannot come from the cache."""
    if cache is None:
        return
    for encoder, shim in name_encoders(model, name).items():
        obstacle = find_obstacle(shim, wanted)
        if obstacle:
            warnings.warn(Errors.W005.format(name=encoder, reason=obstacle), stacklevel=4)
