"""Which pieces of a text spell which token."""

import numpy as np

from .base import Ints


def align(piece_starts: Ints, piece_ends: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The pieces that have a character in common with each token.

    They are the stretch from the first piece that ends behind the token's start to the last one
    that starts before its end. Where normalisation has put characters in another order, pieces
    are taken to start and to end no earlier than those before them.

    piece_starts, piece_ends: (P,), the first character of each piece and the one after its last.
    starts, ends: (W,), those of each token.
    Returns the number of the first piece, and how many they are. (W,) each
    """
    first = np.searchsorted(np.maximum.accumulate(piece_ends), starts, side="right")
    behind = np.searchsorted(np.maximum.accumulate(piece_starts), ends, side="left")
    return first, np.maximum(behind - first, 0)
