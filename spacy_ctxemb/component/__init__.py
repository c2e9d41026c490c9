"""The pipeline component `ctxemb`."""

from .contextual_embedder import ContextualEmbedder

__all__ = ["ContextualEmbedder"]
