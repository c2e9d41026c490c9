"""Search by meaning: an index of passages, its scores, and answers to questions from it.

from spacy_ctxemb.search import Index
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answers import ask as ask
    from .evaluation import evaluate as evaluate
    from .index import Hit as Hit
    from .index import Index as Index

__all__ = ["Hit", "Index", "ask", "evaluate"]


def __getattr__(name: str) -> Any:
    from . import answers, evaluation, index

    for module in (index, answers, evaluation):
        if name in __all__ and hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
