"""Layer normalisation."""

from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """PyTorch's, also of values in a lower precision than its weights, as inference passes them.

    PyTorch takes this mix on a CPU, where it computes in fp32; elsewhere it does not.

    Source: Ba et al. 2016, "Layer Normalization".
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D), of the same type."""
        if x.device.type == "cpu" or x.dtype == self.weight.dtype:
            return super().forward(x)
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)
