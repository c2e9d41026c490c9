"""The initial values of a Transformer, as BERT's."""

from torch import nn

from .relative_and_rotary_positions import RelativeBias


def reset_transformer(encoder: nn.Module) -> None:
    """Normal values with deviation 0.02; norms 1, biases 0."""
    for module in encoder.modules():
        if isinstance(module, nn.Linear | nn.Embedding | RelativeBias):
            nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        bias = getattr(module, "bias", None)
        if isinstance(module, nn.Linear | nn.LayerNorm) and bias is not None:
            nn.init.zeros_(bias)
