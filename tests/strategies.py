"""Hypothesis strategies. A suffix names the axes of what is drawn, as in encoders/base.py."""

import string

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray
from torch import Tensor

from spacy_ctxemb.windows.pieces_to_windows import N_BOUNDARIES, Windowing

Ints = NDArray[np.int64]

#: Of what UTF-8 can encode, and of all that a Python string can hold.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
any_texts = st.text(st.characters(), max_size=60)
ascii_words = st.text(
    string.ascii_letters + string.digits + string.punctuation, min_size=1, max_size=30
)

words_W = st.lists(texts, max_size=12)
any_words_W = st.lists(any_texts, max_size=12)


def lengths_W(*, max_length: int = 5, max_size: int = 12) -> SearchStrategy[Ints]:
    """Pieces of each token; 0 for a token without pieces."""
    sizes = st.lists(st.integers(0, max_length), max_size=max_size)
    return sizes.map(lambda values: np.array(values, dtype=np.int64))


@st.composite
def windowings(draw: st.DrawFn, max_window: int = 12) -> Windowing:
    """Any valid windowing with small windows."""
    window = draw(st.integers(1, max_window))
    return Windowing(
        window=window,
        stride=draw(st.integers(1, window)),
        batch_pieces=draw(st.integers(window + N_BOUNDARIES, 6 * (window + N_BOUNDARIES))),
        max_padding=draw(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])),
    )


@st.composite
def stretches_W(draw: st.DrawFn) -> tuple[int, Ints, Ints]:
    """P, and the pieces of each token: the first one, and how many. Tokens may share pieces, and
    pieces may belong to no token."""
    P = draw(st.integers(0, 20))
    spans = st.tuples(st.integers(0, P), st.integers(0, P)).map(sorted)
    pairs = np.array(draw(st.lists(spans, max_size=12)), dtype=np.int64).reshape(-1, 2)
    starts, ends = np.sort(pairs, axis=0).T  # tokens are in order
    return P, starts, ends - starts


@st.composite
def pieces_PD_stretches_W(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors of pieces, and those of each token: the first one, and how many."""
    P, starts, lengths = draw(stretches_W())
    D = draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    pieces = torch.randn(P, D, generator=generator, dtype=torch.float64)
    return pieces, torch.from_numpy(starts), torch.from_numpy(lengths)


@st.composite
def layers_LPD_lengths(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Layers of pieces, and the number of pieces of each document, none of them empty."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    L, D = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    layers = torch.randn(L, sum(sizes), D, generator=generator, dtype=torch.float64)
    return layers, torch.tensor(sizes)


@st.composite
def ids_P_stretches_W(draw: st.DrawFn, n_ids: int) -> tuple[NDArray[np.int32], Ints, Ints]:
    """Ids of pieces, any below n_ids, and those of each token: the first one, and how many."""
    P, starts, lengths = draw(stretches_W())
    ids = draw(st.lists(st.integers(0, n_ids - 1), min_size=P, max_size=P))
    return np.array(ids, dtype=np.int32), starts, lengths
