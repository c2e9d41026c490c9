"""Encoders in pure PyTorch: no spaCy, no Thinc."""

from .bilm import BiLM
from .encoder import Encoder
from .modern_transformer import ModernTransformerEncoder
from .transformer import TransformerEncoder

__all__ = ["BiLM", "Encoder", "ModernTransformerEncoder", "TransformerEncoder"]
