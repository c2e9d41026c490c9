"""Encoders that take the rows of pieces from outside, so that a score is a function of them."""

from collections.abc import Iterable, Iterator
from copy import copy
from typing import cast

from torch import Tensor, nn

from ..embedder.embedder import Embedder
from ..encoders import BiLM, Encoder
from ..encoders.huggingface_wrapper import HuggingFaceEncoder


def embed_pieces(encoder: Encoder, ids: Tensor) -> Tensor:
    """The rows of pieces, before positions are added and anything is mixed. (N[, C]) to (N, d)"""
    if isinstance(encoder, BiLM):
        return encoder.encode_tokens(ids)
    return cast(Tensor, encoder.get_submodule(find_table(encoder))(ids))


def find_table(encoder: Encoder) -> str:
    """Where the table of pieces is."""
    if not isinstance(encoder, HuggingFaceEncoder):
        return "piece_embedding"
    table = encoder.model.get_input_embeddings()
    return next(name for name, module in encoder.named_modules() if module is table)


class GivenRows(nn.Module):
    """In the place of a table of pieces. parts: rows for each call, (N, d)."""

    def __init__(self, parts: Iterator[Tensor]) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, ids: Tensor) -> Tensor:
        """Whatever the ids; (...) to (..., d)."""
        return next(self.parts).view(*ids.shape, -1)


def give_rows(embedder: Embedder, parts: Iterable[Tensor]) -> Embedder:
    """An embedder of the same weights for one pass, in fp32, in which batches have these rows."""
    encoder, rows = embedder.encoder, GivenRows(iter(parts))
    if isinstance(encoder, BiLM):
        given: nn.Module = copy(encoder)
        given.encode_tokens = lambda ids: rows(ids[:, 0])  # type: ignore[assignment] # its method
    else:
        given = replace_module(encoder, find_table(encoder), rows)
    changed = cast(Embedder, replace_module(embedder, "encoder", given))
    changed.recomputes_batches = False  # the rows are given once
    changed.training_precision = "fp32"
    return changed


def replace_module(module: nn.Module, path: str, new: nn.Module) -> nn.Module:
    """A copy of a module with another one at a path; all else is shared."""
    name, _, rest = path.partition(".")
    copied = copy(module)
    old = copied._modules[name]
    assert old is not None
    copied._modules = {**copied._modules, name: replace_module(old, rest, new) if rest else new}
    return copied
