"""The states of windows that a component has laid itself, such as those of questions and texts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..embedder.output_types import VECTORS
from ..encoders import ModernTransformerEncoder, TransformerEncoder
from ..encoders.bert_transformer import N_SEGMENTS
from ..errors import Errors
from ..thinc_model.embedder_shim import EmbedderShim


def count_windows_a_batch(shim: EmbedderShim, windows: Sequence[Tensor]) -> int:
    """How many of some windows, (2, T) each, fit into one pass of the encoder."""
    longest = max((window.size(1) for window in windows), default=1)
    return max(shim.find_budget(0, VECTORS).pieces // longest, 1)


def encode_windows(shim: EmbedderShim, windows: Sequence[Tensor], reader: str) -> Tensor:
    """The last layer's states of all pieces, one window after the other. (N, D)

    windows: ids and segments, (2, T) each. reader: the component that wants them.
    Raises E388 for an encoder that may have segments, and does not take them.
    """
    lengths = [window.size(1) for window in windows]
    padded = torch.zeros(2, len(windows), max(lengths), dtype=torch.long)
    for i, window in enumerate(windows):
        padded[:, i, : lengths[i]] = window
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids, segments = padded.to(shim.device)
    encoder, own = shim.embedder.encoder, []
    if isinstance(encoder, TransformerEncoder):
        own = [segments] if encoder.settings["n_segments"] >= N_SEGMENTS else []
    elif not isinstance(encoder, ModernTransformerEncoder) and bool(segments.any()):
        raise ValueError(Errors.E388.format(name=reader, encoder=type(encoder).__name__))
    with shim.embedder.cast_products():
        return encoder(ids, mask.to(shim.device), *own)[-1].float()
