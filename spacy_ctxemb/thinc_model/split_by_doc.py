"""Rows of all Docs together, and arrays of each Doc."""

from collections.abc import Sequence

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import xp2torch
from thinc.types import Floats2d, Floats3d, FloatsXd
from torch import Tensor


def split_docs(vectors: Floats2d, docs: Sequence[Doc]) -> list[Floats2d]:
    """Rows of each Doc. Copies: a view would keep the whole batch alive with one Doc."""
    ends = np.cumsum([len(doc) for doc in docs]).tolist()
    return [vectors[end - len(doc) : end].copy() for end, doc in zip(ends, docs, strict=True)]


def split_layers(layers: Floats3d, docs: Sequence[Doc]) -> list[Floats3d]:
    """Columns of each Doc, as views. (L, W, D) to (L, n_tokens, D) each."""
    ends = np.cumsum([len(doc) for doc in docs]).tolist()
    return [layers[:, end - len(doc) : end] for end, doc in zip(ends, docs, strict=True)]


def join(arrays: Sequence[FloatsXd], *, axis: int, device: torch.device) -> Tensor:
    """Arrays of several Docs, at least one, as one tensor of its own."""
    return torch.cat([xp2torch(array, device=device) for array in arrays], dim=axis)
