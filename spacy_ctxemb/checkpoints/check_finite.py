"""A check of weights that are read or written."""

import torch
from torch import Tensor

from ..errors import Errors


def check_finite(value: Tensor, *, name: str, path: object) -> None:
    """Raise E309 for values that are not finite, as a diverged training leaves them.

    name: of the tensor in `path`, which is a file or "the encoder".
    """
    n = int((~torch.isfinite(value)).sum())
    if n:
        raise ValueError(Errors.E309.format(n=n, name=name, path=path))
