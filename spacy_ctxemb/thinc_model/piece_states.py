"""The states of pieces and windows in the last layer, with what says whose they are, by Docs."""

from typing import Any

import numpy as np
import torch

from ..windows.docs_to_pieces import DocPieces, list_places
from ..windows.pieces_to_windows import Windows
from .arrays_and_tensors import split


def list_states(rows: Any, encoded: DocPieces, windows: Windows) -> list[dict[str, Any]]:
    """The states of each Doc, as doc_vectors/names.py has them.

    rows: (P + 2 N, D), as Embedded has them. Copies: a view would keep the whole batch alive.
    """
    lengths = windows.document_lengths
    n_windows = torch.bincount(windows.documents, minlength=len(lengths))
    by_doc = (
        list_places(encoded),
        split(rows, (lengths + 2 * n_windows).tolist(), axis=0),
        split(windows.owned.numpy(), n_windows.tolist(), axis=0),
        split(windows.sequences.numpy(), n_windows.tolist(), axis=0),
        list_sentences(encoded),
        np.cumsum(encoded.n_sequences) - encoded.n_sequences,
    )
    return [
        {
            **place,
            "rows": part.copy(),
            "owned": owned.copy(),
            "sequences": sequences - first,
            "sentences": sentences,
        }
        for place, part, owned, sequences, sentences, first in zip(*by_doc, strict=True)
    ]


def list_sentences(encoded: DocPieces) -> list[list[int]]:
    """The characters of each document at which its sequences begin."""
    texts = encoded.texts
    firsts = np.cumsum(texts.n_tokens) - texts.n_tokens
    by_doc = zip(encoded.sequence_starts, firsts.tolist(), texts.offsets.tolist(), strict=True)
    return [
        [0, *(int(texts.starts[first + start]) - offset for start in starts[1:])]
        for starts, first, offset in by_doc
    ]
