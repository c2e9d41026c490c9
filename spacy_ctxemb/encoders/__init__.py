"""Encoders in pure PyTorch: no spaCy, no Thinc."""

from .bilm import BiLM
from .encoder import Encoder
from .transformer import TransformerEncoder

__all__ = ["BiLM", "Encoder", "TransformerEncoder"]
