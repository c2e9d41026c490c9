"""The layers between an encoder's last layer and the scores of classes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders.basic_layers import ACTIVATIONS, check_activation

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {**ACTIVATIONS, "tanh": torch.tanh}


class Head(nn.Module):
    """Scores of classes: a linear layer, with a dense layer before it where there is an activation.

    width: D, of the states. n_classes: C.
    activation: of the dense layer: "tanh" (BERT's pooler, RoBERTa), "gelu" (ELECTRA, ModernBERT),
        "relu" (DistilBERT), or another of the encoders'; None for no dense layer.
    dense_width: of the dense layer's output (ALBERT, ELECTRA in masked language modelling); None
        for D.
    dense_bias: whether the dense layer has a bias.
    norm_epsilon: of a layer norm after the dense layer (ModernBERT, masked language modelling);
        None for none.
    norm_bias: whether the layer norm has a bias.
    dropout: the rate before each linear layer, in training.
    normalize: whether states get length 1 before all else, as sentence-transformers compares them.

    Source: Devlin et al. 2019, "BERT", section 4; Liu et al. 2019, "RoBERTa".

        head = Head(384, 5)
        scores = head(states)  # (n, 384) to (n, 5)
    """

    def __init__(
        self,
        width: int,
        n_classes: int,
        *,
        activation: str | None = None,
        dense_width: int | None = None,
        dense_bias: bool = True,
        norm_epsilon: float | None = None,
        norm_bias: bool = False,
        dropout: float = 0.1,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.normalize = normalize
        if activation is not None and activation not in FUNCTIONS:
            check_activation(activation)
        E = dense_width or width
        self.dense = None if activation is None else nn.Linear(width, E, bias=dense_bias)
        self.norm = (
            None if norm_epsilon is None else nn.LayerNorm(E, eps=norm_epsilon, bias=norm_bias)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(E, n_classes)

    def forward(self, states: Tensor) -> Tensor:
        """(n, D) to (n, C)."""
        x = F.normalize(states, dim=-1) if self.normalize else states
        if self.dense is not None and self.activation is not None:
            x = FUNCTIONS[self.activation](self.dense(self.dropout(x)))
        if self.norm is not None:
            x = self.norm(x)
        scores: Tensor = self.output(self.dropout(x))
        return scores
