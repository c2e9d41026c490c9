"""Rows of all Docs together, and arrays of each Doc."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Ops, torch2xp, xp2torch
from thinc.types import Floats2d, FloatsXd
from torch import Tensor


def to_array(tensor: Tensor, ops: Ops | None = None) -> Any:
    """A NumPy or CuPy view of a tensor."""
    return torch2xp(tensor, ops=ops)


def split_vectors(vectors: Tensor, docs: Sequence[Doc], ops: Ops) -> list[Floats2d]:
    """Rows of each Doc. Copies: a view would keep the whole batch alive with one Doc."""
    parts = split(to_array(vectors, ops), [len(doc) for doc in docs], axis=0)
    return [cast(Floats2d, part.copy()) for part in parts]


def split(array: Any, sizes: Sequence[int], *, axis: int) -> list[Any]:
    """Stretches of an axis, as views."""
    ends, before = np.cumsum(sizes).tolist(), (slice(None),) * axis
    places = [(*before, slice(end - n, end)) for n, end in zip(sizes, ends, strict=True)]
    return [array[place] for place in places]


def join(arrays: Sequence[FloatsXd], *, axis: int, device: torch.device) -> Tensor:
    """Arrays of several Docs, at least one, as one tensor of its own."""
    return torch.cat([xp2torch(array, device=device) for array in arrays], dim=axis)
