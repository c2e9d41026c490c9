"""Whether a text goes on with the next one.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1.
"""

import torch
from torch import Tensor, nn

#: Classes in the order of published heads.
IS_NEXT, IS_OTHER = 0, 1


class NextSentenceHead(nn.Module):
    """Computes two scores from the first step of each window, which stands for all of it.

    Example:
        logits = NextSentenceHead(width=256)(layers[-1], mask)  # (B, 2)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.output = nn.Linear(width, 2)

    def forward(self, top: Tensor, mask: Tensor) -> Tensor:
        """Return (B, 2). top: (N, D), the last layer of real steps; mask: (B, T)."""
        lengths = mask.sum(dim=1)
        first = top[torch.cumsum(lengths, dim=0) - lengths]  # (B, D)
        scores: Tensor = self.output(torch.tanh(self.dense(first)))
        return scores

    def reset_parameters(self) -> None:
        """Fill weights with normal values of deviation 0.02, biases with 0."""
        for linear in (self.dense, self.output):
            nn.init.normal_(linear.weight, 0.0, 0.02)
            nn.init.zeros_(linear.bias)
