"""Search by meaning: an index of passages, its scores, and answers to questions from it."""

from .answers import Answer, ask
from .evaluation import evaluate
from .index import Hit, Index

__all__ = ["Answer", "Hit", "Index", "ask", "evaluate"]
