"""Contextual vectors where users look for them: Token, Span and Doc."""

from .extensions import FIELDS, clear, write
from .hooks import attach, detach, elmo_outputs, in_pipe_worker
from .names import ATTENTION, BOUNDARIES, LAYERS, LAYERS_KEY, PIECES, POOLED, TOKENS_KEY
from .tokens import (
    TENSOR,
    check_tensor,
    fit_tokens,
    forget,
    has_tensor,
    remember_tokens,
    store_tokens,
)

__all__ = [
    "ATTENTION",
    "BOUNDARIES",
    "FIELDS",
    "LAYERS",
    "LAYERS_KEY",
    "PIECES",
    "POOLED",
    "TENSOR",
    "TOKENS_KEY",
    "attach",
    "check_tensor",
    "clear",
    "detach",
    "elmo_outputs",
    "fit_tokens",
    "forget",
    "has_tensor",
    "in_pipe_worker",
    "remember_tokens",
    "store_tokens",
    "write",
]
