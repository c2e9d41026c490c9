"""Where the recurrence of a biLM begins: at zero, after a warm-up text, or where it stopped."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .kernels.lstm_inference import State


class BiLMState(NamedTuple):
    """The state of B sequences in each direction (forward, backward) and LSTM layer.

    h: (2, L - 1, B, D / 2). c: (2, L - 1, B, hidden_width).
    """

    h: Tensor
    c: Tensor

    @classmethod
    def collect(cls, states: Sequence[Sequence[State]]) -> "BiLMState":
        """From the states of each direction and layer."""
        hs = [torch.stack([state.h for state in stack]) for stack in states]
        cs = [torch.stack([state.c for state in stack]) for stack in states]
        return cls(torch.stack(hs), torch.stack(cs))

    def to(self, device: torch.device) -> "BiLMState":
        return BiLMState(self.h.to(device), self.c.to(device))

    def take(self, rows: Tensor) -> "BiLMState":
        """The state of some sequences. rows: (n,)"""
        return BiLMState(self.h[:, :, rows], self.c[:, :, rows])

    def put(self, rows: Tensor, new: "BiLMState") -> "BiLMState":
        """This state with that of some sequences replaced. rows: (n,)"""
        return BiLMState(
            self.h.index_copy(2, rows, new.h),
            self.c.index_copy(2, rows, new.c),
        )

    def extend(self, start: "BiLMState", n: int) -> "BiLMState":
        """This state with further sequences from `start`, a state of one, so that there are n."""
        n_new = max(n - self.h.size(2), 0)
        return BiLMState(
            torch.cat([self.h, start.h.expand(-1, -1, n_new, -1)], dim=2),
            torch.cat([self.c, start.c.expand(-1, -1, n_new, -1)], dim=2),
        )
