"""Encoders as a config names them."""

import inspect
from collections.abc import Callable
from typing import Any

import torch

from ..torch_state import ordinary_torch
from .base import Encoder
from .bert_transformer import TransformerEncoder
from .bilm import BiLM
from .huggingface_wrapper import HuggingFaceEncoder
from .modernbert_transformer import ModernTransformerEncoder


def on_meta(encoder: type[Encoder]) -> Callable[..., Encoder]:
    """A builder with the arguments and defaults of a class, which spaCy's registry reads.

    What it builds is on PyTorch's meta device: it takes no memory until there are weights.
    """

    def build(**settings: Any) -> Encoder:
        with ordinary_torch(), torch.device("meta"):
            return encoder(**settings)

    signature = inspect.signature(encoder).replace(return_annotation=Encoder)
    build.__signature__ = signature  # type: ignore[attr-defined] # inspect reads it
    hints = {name: p.annotation for name, p in signature.parameters.items()}
    build.__annotations__ = {**hints, "return": Encoder}
    build.__doc__ = encoder.__doc__
    return build


build_bilm = on_meta(BiLM)
build_transformer = on_meta(TransformerEncoder)
build_modern_transformer = on_meta(ModernTransformerEncoder)
build_huggingface = on_meta(HuggingFaceEncoder)
