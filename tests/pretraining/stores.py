"""Token stores made by hand, and drawn by hypothesis."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from spacy_ctxemb.pretraining.text.token_store import TokenStore


def make_store(lengths: Sequence[Sequence[int]], *, n_ids: int = 30, seed: int = 0) -> TokenStore:
    """A store of random pieces from 5 on. lengths: of each sentence of each document."""
    rng = np.random.default_rng(seed)
    flat = [n for document in lengths for n in document]
    return TokenStore(
        folder=Path("store"),
        ids=rng.integers(5, n_ids, size=sum(flat), dtype=np.int32),
        word_starts=rng.random(sum(flat)) < 0.6,
        sentence_ends=np.cumsum(flat),
        document_ends=np.array(list(accumulate(map(len, lengths)))),
        types=[],
        type_counts=np.zeros(0, dtype=np.int64),
        type_characters=np.zeros((0, 0), dtype=np.int16),
    )


def read_spans(lengths: Sequence[Sequence[int]]) -> list[list[tuple[int, int]]]:
    """The pieces of each sentence of each document."""
    spans, start = [], 0
    for document in lengths:
        spans.append([])
        for n in document:
            spans[-1].append((start, start + n))
            start += n
    return spans


#: Sentences of 1 to 20 pieces in documents.
lengths_of_sentences = st.lists(
    st.lists(st.integers(1, 20), min_size=1, max_size=8), min_size=1, max_size=6
)
