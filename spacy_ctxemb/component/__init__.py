"""The pipeline component `ctxemb`."""

from .pipe import ContextualEmbedder

__all__ = ["ContextualEmbedder"]
