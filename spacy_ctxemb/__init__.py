"""Contextual word vectors for spaCy: biLM (ELMo) and Transformer (BERT) encoders.

Importing this package imports nothing else, so that `spacy_ctxemb.encoders` works without
spaCy and spaCy starts as fast as without the plugin.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Where each public name stands.
MODULES = {
    "align": "alignment.align",
    "attach": "doc_vectors",
    "elmo_outputs": "doc_vectors",
    "encode": "bulk.encode",
    "explain": "explanation.explain",
    "iter_encode": "bulk.encode",
    "load": "load_published",
    "to_disk": "save_pipeline",
}
__all__ = ["__version__", *MODULES]


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return getattr(import_module(f".{MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
