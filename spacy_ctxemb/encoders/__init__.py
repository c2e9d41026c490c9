"""Encoders in pure PyTorch: no spaCy, no Thinc."""

from .base import Encoder
from .bert_transformer import TransformerEncoder
from .bilm import BiLM
from .modernbert_transformer import ModernTransformerEncoder

__all__ = ["BiLM", "Encoder", "ModernTransformerEncoder", "TransformerEncoder"]
