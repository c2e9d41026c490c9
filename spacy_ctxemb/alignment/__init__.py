"""Which tokens of two Docs mean the same, by their vectors."""

from .align import AlignedPair, Alignment, align

__all__ = ["AlignedPair", "Alignment", "align"]
