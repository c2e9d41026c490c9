"""Encoders as a config names them."""

from collections.abc import Sequence
from typing import Any

import torch

from ..pieces.characters import CharacterPieces
from .bilm import BiLM
from .encoder import Encoder
from .modern_transformer import ModernTransformerEncoder
from .transformer import TransformerEncoder

#: A character CNN of 256 filters, an eighth of ELMo's.
FILTERS = ((1, 16), (2, 16), (3, 32), (4, 48), (5, 64), (6, 80))


def build_bilm(
    *,
    width: int = 256,
    hidden_width: int = 512,
    n_lstm_layers: int = 2,
    filters: Sequence[Sequence[int]] = FILTERS,
    character_width: int = 16,
    max_characters: int = 50,
    activation: str = "relu",
    n_highways: int = 1,
    cell_clip: float | None = 3.0,
    projection_clip: float | None = 3.0,
    skip_connections: bool = True,
    project_filters: bool | None = None,
    project_hidden: bool | None = None,
    word_cache: int = 20000,
    stateful: bool = False,
    warm_start: str | None = None,
) -> Encoder:
    """`spacy-ctxemb.BiLM.v1`: see encoders/bilm.py.

    warm_start: a text, one sentence a line, tokens between spaces; tokens_to_add are spelt in it
        like other words.
    """
    pieces = CharacterPieces(max_characters)
    sentences = [line.split() for line in (warm_start or "").splitlines() if line.strip()]
    ids = [torch.from_numpy(pieces.encode_sequence(words)) for words in sentences]
    with torch.device("meta"):
        return BiLM(
            width=width,
            hidden_width=hidden_width,
            n_lstm_layers=n_lstm_layers,
            filters=[(size, count) for size, count in filters],
            n_characters=CharacterPieces.n_ids,
            character_width=character_width,
            max_characters=max_characters,
            activation=activation,
            n_highways=n_highways,
            cell_clip=cell_clip,
            projection_clip=projection_clip,
            skip_connections=skip_connections,
            project_filters=project_filters,
            project_hidden=project_hidden,
            word_cache=word_cache,
            stateful=stateful,
            warm_start=ids,
        )


def build_transformer(
    *,
    vocab_size: int = 8000,
    width: int = 256,
    n_blocks: int = 4,
    n_heads: int = 4,
    feedforward_width: int = 1024,
    max_length: int = 128,
    n_segments: int = 2,
    embedding_width: int | None = None,
    n_groups: int | None = None,
    n_position_buckets: int | None = None,
    activation: str = "gelu",
    pre_norm: bool = False,
    layer_norm_epsilon: float = 1e-12,
) -> Encoder:
    """`spacy-ctxemb.Transformer.v1`: see encoders/transformer.py."""
    with torch.device("meta"):
        return TransformerEncoder(
            n_ids=vocab_size,
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            feedforward_width=feedforward_width,
            max_length=max_length,
            n_segments=n_segments,
            embedding_width=embedding_width,
            n_groups=n_groups,
            n_position_buckets=n_position_buckets,
            activation=activation,
            pre_norm=pre_norm,
            layer_norm_epsilon=layer_norm_epsilon,
        )


def build_modern_transformer(
    *,
    vocab_size: int = 8000,
    width: int = 256,
    n_blocks: int = 6,
    n_heads: int = 4,
    feedforward_width: int = 384,
    max_length: int = 1024,
    local_window: int = 128,
    global_every: int = 3,
    global_theta: float = 160000.0,
    local_theta: float = 10000.0,
    activation: str = "gelu",
    layer_norm_epsilon: float = 1e-5,
) -> Encoder:
    """`spacy-ctxemb.ModernTransformer.v1`: see encoders/modern_transformer.py."""
    with torch.device("meta"):
        return ModernTransformerEncoder(
            n_ids=vocab_size,
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            feedforward_width=feedforward_width,
            max_length=max_length,
            local_window=local_window,
            global_every=global_every,
            global_theta=global_theta,
            local_theta=local_theta,
            activation=activation,
            layer_norm_epsilon=layer_norm_epsilon,
        )


def build_huggingface(*, config: dict[str, Any]) -> Encoder:
    """`spacy-ctxemb.HuggingFace.v1`: see encoders/huggingface.py.

    config: what a model's config.json says; `import bert --wrap` writes it.
    """
    from .huggingface import HuggingFaceEncoder

    with torch.device("meta"):
        return HuggingFaceEncoder(config)
