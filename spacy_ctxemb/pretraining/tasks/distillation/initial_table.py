"""The first values of a pupil's table of pieces: what the teacher says of each piece alone.

Source: the tables of Tulkens and van Dongen 2024, "Model2Vec", by principal components. Theirs are
used as they are; here training goes on from them.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ....embedder.token_pooling import pool_mean
from ....encoders import Encoder
from ....errors import Errors
from ....pieces.base import Pieces, Texts
from ....pieces.subwords import SubwordPieces
from ....windows.pieces_to_windows import Windowing, build_windows
from .teacher import Teacher

#: What a piece inside a word begins with, and what stands for a space before one.
INSIDE, SPACES = "##", "▁Ġ "

#: The deviation of a component is raised to this power: at 1 the first ones, which tell frequent
#: words from rare ones, would be most of a vector; at 0 noise would be as loud as meaning.
DAMPING = 0.5


def get_table(encoder: Encoder, pieces: Pieces) -> tuple[nn.Embedding, SubwordPieces]:
    """Get the table of an encoder's pieces, and these. Raises E469 if it has none."""
    table = getattr(encoder, "piece_embedding", None)
    if not isinstance(table, nn.Embedding) or not isinstance(pieces, SubwordPieces):
        raise ValueError(Errors.E469.format(encoder=type(encoder).__name__))
    return table, pieces


@torch.no_grad()
def fill_table(encoder: Encoder, pieces: Pieces, teacher: Teacher) -> None:
    """Give the table its first values, which have the deviation of those before.

    Special pieces, and those of which the teacher reads nothing, keep what they have; so do
    columns of which the teacher has no more.
    """
    table, subwords = get_table(encoder, pieces)
    ids, words = list_words(subwords)
    vectors, has_vector = encode_words(teacher, words)
    rows = torch.from_numpy(ids)[has_vector].to(table.weight.device)
    reduced = reduce_width(vectors[has_vector].to(table.weight.device), table.embedding_dim)
    scale = table.weight.std() / reduced.std().clamp(min=1e-12)
    table.weight[rows, : reduced.size(1)] = (reduced * scale).to(table.weight.dtype)


def list_words(pieces: SubwordPieces) -> tuple[np.ndarray, list[str]]:
    """List the pieces that spell something, and what they spell. (n,), and n strings"""
    ids = np.setdiff1d(np.arange(pieces.n_trained, dtype=np.int64), pieces.special_ids)
    spelt = [read_piece(pieces, i) for i in ids.tolist()]
    is_word = np.array([bool(word) for word in spelt], dtype=np.bool_)
    return ids[is_word], [word for word in spelt if word]


def read_piece(pieces: SubwordPieces, i: int) -> str:
    """Read a piece as a word; empty for half a character, or white space alone."""
    word = pieces.tokenizer.decode([i], skip_special_tokens=False).strip(SPACES)
    word = word.removeprefix(INSIDE) or word
    return "" if "\ufffd" in word or word.isspace() else word


@torch.no_grad()
def encode_words(teacher: Teacher, words: list[str]) -> tuple[Tensor, Tensor]:
    """Encode each word as a text of its own: the mean of its pieces in the last target layer.

    Returns (n, D), and whether it has any pieces, (n,).
    """
    sizes = np.array([len(word) for word in words], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    nothing = np.zeros(len(words), dtype=np.bool_)
    texts = Texts(words, np.ones_like(sizes), starts, starts, starts + sizes, nothing)
    found = teacher.pieces.encode(texts)
    encoder = teacher.embedder.encoder
    device = next(encoder.parameters()).device
    longest = encoder.max_length or 512
    windowing = Windowing(
        window=longest - 2, stride=longest - 2, batch_pieces=max(4096, longest), max_padding=0.25
    )
    windows = build_windows(
        found, found.document_lengths, np.arange(len(words)), teacher.pieces.boundaries, windowing
    )
    vectors = torch.zeros(len(found.ids), encoder.width, device=device)
    for batch in windows.batches:
        encoder.reset_state()
        layers = encoder(batch.ids.to(device), batch.mask.to(device))
        vectors[batch.pieces.to(device)] = layers[teacher.layers[-1]][batch.rows].float()
    lengths = windows.lengths.to(device)
    return pool_mean(vectors, windows.starts.to(device), lengths), lengths > 0


def reduce_width(vectors: Tensor, width: int) -> Tensor:
    """Compute principal components, damped. (n, D) to (n, width), or (n, D) if that is less."""
    centred = vectors.double() - vectors.double().mean(dim=0)
    _, axes = torch.linalg.eigh(centred.T @ centred)  # those of least deviation first
    components = centred @ axes.flip(1)[:, :width]
    deviations = components.std(dim=0, correction=0).clamp(min=1e-12)
    return components * deviations ** (DAMPING - 1)
