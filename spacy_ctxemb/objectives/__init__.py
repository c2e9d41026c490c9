"""Objectives of pretraining: heads and losses in pure PyTorch."""

from .base import Objective, Targets, to_perplexity
from .bilm_loss import BiLMObjective
from .distillation_loss import DistilObjective
from .masked_lm_loss import MaskedLMObjective

#: By their name in stored weights.
OBJECTIVES: dict[str, type[Objective]] = {
    objective.kind: objective for objective in (BiLMObjective, MaskedLMObjective, DistilObjective)
}

__all__ = [
    "OBJECTIVES",
    "BiLMObjective",
    "DistilObjective",
    "MaskedLMObjective",
    "Objective",
    "Targets",
    "to_perplexity",
]
