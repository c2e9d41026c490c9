"""A table of vectors by id."""

from torch import nn


class EmbeddingTable(nn.Embedding):
    """PyTorch's own, without values on the meta device.

    To draw normal numbers there, PyTorch imports its compiler, which takes seconds.
    """

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()
