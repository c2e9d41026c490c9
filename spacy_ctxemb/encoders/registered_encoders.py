"""Encoders as a config names them."""

import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import torch

from ..torch_state import ordinary_torch
from .base import Encoder
from .bert_transformer import TransformerEncoder
from .bilm import BiLM
from .huggingface_wrapper import HuggingFaceEncoder
from .modernbert_transformer import ModernTransformerEncoder

Build = TypeVar("Build", bound=Callable[..., Any])


def on_meta(encoder: type[Encoder]) -> Callable[..., Encoder]:
    """A builder on PyTorch's meta device: it takes no memory until there are weights."""

    def build(**settings: Any) -> Encoder:
        with ordinary_torch(), torch.device("meta"):
            return encoder(**settings)

    return with_settings_of(encoder, build, returns=Encoder)


def with_settings_of(
    kind: type, build: Build, *, returns: Any, without: Collection[str] = ()
) -> Build:
    """A builder with the arguments, defaults and docstring of a class, as spaCy's registry and the
    documentation read them.

    without: arguments that a config does not have.
    """
    signature = inspect.signature(kind)
    settings = [p for name, p in signature.parameters.items() if name not in without]
    signature = signature.replace(parameters=settings, return_annotation=returns)
    build.__signature__ = signature  # type: ignore[attr-defined] # inspect reads it
    build.__annotations__ = {p.name: p.annotation for p in settings} | {"return": returns}
    build.__doc__ = kind.__doc__
    return build


build_bilm = on_meta(BiLM)
build_transformer = on_meta(TransformerEncoder)
build_modern_transformer = on_meta(ModernTransformerEncoder)
build_huggingface = on_meta(HuggingFaceEncoder)
