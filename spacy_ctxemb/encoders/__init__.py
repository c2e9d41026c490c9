"""Encoders in pure PyTorch: no spaCy, no Thinc."""

from .base import Encoder
from .bilm import BiLM
from .modern_transformer import ModernTransformerEncoder
from .transformer import TransformerEncoder

__all__ = ["BiLM", "Encoder", "ModernTransformerEncoder", "TransformerEncoder"]
