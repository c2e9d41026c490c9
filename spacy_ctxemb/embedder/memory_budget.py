"""How much text goes through an encoder at once, from the memory that it may take."""

import re
from numbers import Integral
from typing import NamedTuple

from ..encoders import Encoder
from ..windows.pieces_to_windows import N_BOUNDARIES, Windowing
from .embedder import Embedder
from .output_types import Wanted

#: Bytes of a number in fp32.
FP32 = 4

#: Arrays of a token's vectors that are there at once: of its pieces, two of them at most, of the
#: token, and the Doc's own copy.
N_ARRAYS = 4

#: Bytes of ids and places, for each token.
PLACES = 800

SIZES = {"": 1, "b": 1}
SIZES |= {f"{prefix}b": 1000**i for i, prefix in enumerate("kmgt", 1)}
SIZES |= {f"{prefix}ib": 1024**i for i, prefix in enumerate("kmgt", 1)}


class Budget(NamedTuple):
    """pieces: padded pieces of one pass through the encoder. tokens: those encoded together."""

    pieces: int
    tokens: int


def parse_bytes(value: object) -> int | None:
    """A number of bytes, as such or as in "500 MB" and "1.5 GiB"; None for what is none."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d{1,15}(?:\.\d+)?) ?([a-z]*)", value.strip().lower(), re.ASCII)
        value = int(float(found[1]) * SIZES[found[2]]) if found and found[2] in SIZES else None
    if not isinstance(value, Integral) or isinstance(value, bool):
        return None
    n_bytes = int(value)
    return n_bytes if n_bytes > 0 else None


def find_budget(n_bytes: int, embedder: Embedder, wanted: Wanted) -> Budget:
    """The most that fits: half of the memory is for the pass, half for what comes of all passes.

    pieces: n_bytes / 2 / (4 * encoder.values_a_step).
    tokens: n_bytes / 2 / (16 * (mix.width + width) + 800), and where all layers are wanted or
    needed, 16 * L * D more.
    """
    of_token = embedder.mix.width + embedder.width
    encoder = embedder.encoder
    if wanted.layers or wanted.boundaries or embedder.mix.whole_documents:
        of_token += encoder.n_layers * encoder.width
    half = n_bytes // 2
    return Budget(
        half // count_bytes_a_piece(encoder), half // (FP32 * N_ARRAYS * of_token + PLACES)
    )


def count_bytes_a_piece(encoder: Encoder) -> int:
    return FP32 * encoder.values_a_step


def find_least(embedder: Embedder, windowing: Windowing) -> int:
    """Bytes below which not even one window fits."""
    return 2 * count_bytes_a_piece(embedder.encoder) * (windowing.window + N_BOUNDARIES)
