"""Tiny encoders, windows and a gradient check: what several tests build on."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spacy_ctxemb.encoders import BiLM, Encoder, TransformerEncoder
from spacy_ctxemb.pieces.base import TextPieces
from spacy_ctxemb.windows.pieces_to_windows import Windowing, Windows, build_windows

Module = TypeVar("Module", bound=nn.Module)


def build_bilm(*, dropout: float = 0.1, **changes: Any) -> BiLM:
    """A biLM of width 8 in evaluation mode, with random values."""
    settings: dict[str, Any] = {
        "width": 8,
        "hidden_width": 6,
        "n_lstm_layers": 2,
        "filters": [(1, 3), (2, 4), (3, 5)],
        "character_width": 3,
        "max_characters": 7,
    }
    encoder = BiLM(**settings | changes)
    encoder.set_dropout(dropout)
    return randomise(encoder).eval()


def build_transformer(*, dropout: float = 0.1, **changes: Any) -> TransformerEncoder:
    """A Transformer of width 8 in evaluation mode, with random values."""
    settings: dict[str, Any] = {
        "vocab_size": 30,
        "width": 8,
        "n_blocks": 2,
        "n_heads": 2,
        "feedforward_width": 16,
        "max_length": 16,
    }
    encoder = TransformerEncoder(**settings | changes)
    encoder.set_dropout(dropout)
    return randomise(encoder).eval()


def randomise(module: Module, *, seed: int = 0) -> Module:
    """Give every parameter random values, so that none of them, say a bias of 0, is idle."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.4, generator=generator)
    return module


def draw_ids(encoder: Encoder, *sizes: int, seed: int = 0) -> Tensor:
    """Random ids, none of them padding. (*sizes) or (*sizes, C)"""
    characters = () if encoder.n_characters is None else (encoder.n_characters,)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, encoder.n_ids, (*sizes, *characters), generator=generator)


def unpack(layer: Tensor, mask: Tensor) -> Tensor:
    """Rows of real steps at their places. (N, D) to (B, T, D), zero at padded steps."""
    out = layer.new_zeros(*mask.shape, layer.size(1))
    out[mask] = layer
    return out


def pad(windows: Sequence[Tensor], T: int | None = None) -> tuple[Tensor, Tensor]:
    """Windows of T_i steps as ids (B, T) or (B, T, C) and their mask (B, T)."""
    T = T or max(len(window) for window in windows)
    ids = windows[0].new_zeros(len(windows), T, *windows[0].shape[1:])
    mask = torch.zeros(len(windows), T, dtype=torch.bool)
    for b, window in enumerate(windows):
        ids[b, : len(window)] = window
        mask[b, : len(window)] = True
    return ids, mask


def cut_windows(
    ids: Tensor,
    lengths: Sequence[int],
    document_lengths: Sequence[int],
    windowing: Windowing,
    *,
    starts: Sequence[int] | None = None,
) -> Windows:
    """Windows of pieces, a document being one sequence; the boundaries are ids 1 and 2.

    ids: (P,) or (P, C). starts, lengths: (W,), the first piece of each token, and how many it
    has; without starts no token shares pieces with another.
    """
    begin, end = (np.full(ids.shape[1:], i, dtype=np.int32) for i in (1, 2))
    pieces = build_pieces(ids.int().numpy(), lengths, document_lengths, starts=starts)
    documents = np.arange(len(document_lengths))
    return build_windows(pieces, pieces.document_lengths, documents, (begin, end), windowing)


def build_pieces(
    ids: NDArray[np.int32],
    lengths: Sequence[int],
    document_lengths: Sequence[int],
    *,
    starts: Sequence[int] | None = None,
) -> TextPieces:
    """Pieces of one character each; see cut_windows."""
    sizes, documents = (np.array(x, dtype=np.int64) for x in (lengths, document_lengths))
    first = np.cumsum(sizes) - sizes if starts is None else np.array(starts, dtype=np.int64)
    return TextPieces(ids, np.arange(len(ids))[:, None] + [0, 1], first, sizes, documents)


def check_gradient(
    compute_loss: Callable[[], Tensor], parameters: Iterable[tuple[str, nn.Parameter]]
) -> None:
    """Compare autograd with finite differences, along a random direction of each parameter.

    Everything must be in double precision.
    """
    step = 1e-5
    generator = torch.Generator().manual_seed(0)
    named = dict(parameters)
    gradients = torch.autograd.grad(compute_loss(), list(named.values()))
    for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
        assert parameter.dtype == torch.float64
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                parameter += sign * step * direction
                values.append(compute_loss())
                parameter -= sign * step * direction
        found = (gradient * direction).sum()
        expected = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close(
            found, expected, rtol=1e-6, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}"
        )
