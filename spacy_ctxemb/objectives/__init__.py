"""Objectives of language modelling: heads and losses in pure PyTorch."""

from .base import Objective, Targets, to_perplexity
from .bilm_loss import BiLMObjective
from .masked_lm_loss import MaskedLMObjective

#: By their name in stored weights.
OBJECTIVES: dict[str, type[Objective]] = {
    objective.kind: objective for objective in (BiLMObjective, MaskedLMObjective)
}

__all__ = [
    "OBJECTIVES",
    "BiLMObjective",
    "MaskedLMObjective",
    "Objective",
    "Targets",
    "to_perplexity",
]
