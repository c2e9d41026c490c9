"""Contextual word vectors for spaCy: biLM (ELMo) and Transformer (BERT) encoders.

Importing this package imports nothing else, so that `spacy_ctxemb.encoders` works without
spaCy and spaCy starts as fast as without the plugin.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "align",
    "attach",
    "elmo_outputs",
    "encode",
    "explain",
    "iter_encode",
    "load",
    "to_disk",
]


def __getattr__(name: str) -> Any:
    if name in ("attach", "elmo_outputs"):
        from . import doc_vectors

        return getattr(doc_vectors, name)
    if name == "explain":
        from .explanation import explain

        return explain
    if name in ("encode", "iter_encode"):
        from .bulk import encode

        return getattr(encode, name)
    if name == "align":
        from .alignment import align

        return align
    if name == "load":
        from .load_published import load

        return load
    if name == "to_disk":
        from .save_pipeline import to_disk

        return to_disk
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
