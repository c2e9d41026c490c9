"""Checks of weights that are read or written, and of the vectors that they make."""

from math import prod

import torch
from torch import Tensor

from ..encoders import Encoder
from ..errors import Errors

#: The square of a larger value, summed over a row, is not finite.
LARGEST = 1e15
#: Pieces of the window that is tried.
N_PIECES = 16


def check_finite(value: Tensor, *, name: str, path: object) -> None:
    """Raise E309 for values that are not finite, as a diverged training leaves them.

    name: of the tensor in `path`, which is a file or "the encoder".
    """
    if not is_finite(value):
        n = int((~(value.double().abs() <= LARGEST)).sum())
        raise ValueError(Errors.E309.format(n=n, name=name, path=path))


def is_finite(value: Tensor) -> bool:
    """Whether all values are, in one pass that writes nothing: there may be gigabytes."""
    if not value.numel():
        return True
    least, largest = value.aminmax()  # both are NaN if any value is
    return -LARGEST <= least.item() and largest.item() <= LARGEST


def check_vectors(encoder: Encoder, path: object) -> None:
    """Raise E353 unless the vectors of a short window are finite."""
    T = min(N_PIECES, encoder.max_length or N_PIECES)
    shape = (1, T, *([encoder.n_characters] if encoder.n_characters else []))
    ids = torch.arange(prod(shape), device="cpu").mul(7919).remainder(encoder.n_ids).view(shape)
    mask = torch.ones(1, T, dtype=torch.bool, device="cpu")
    with torch.inference_mode():
        layers = encoder.eval()(ids, mask)
    if not all(bool(layer.isfinite().all()) for layer in layers):
        raise ValueError(Errors.E353.format(path=path))
