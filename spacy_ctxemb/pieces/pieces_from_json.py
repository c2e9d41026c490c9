"""Pieces from what `Pieces.to_json` made of them."""

from collections.abc import Callable
from typing import cast

from .base import Pieces
from .characters import CharacterPieces


def pieces_from_json(data: dict[str, object]) -> Pieces:
    """Build the object that `to_json` described."""
    from .subwords import BytePairPieces, SubwordPieces, WordPieces

    kinds: dict[str, Callable[[dict[str, object]], Pieces]] = {
        CharacterPieces.kind: _characters_from_json,
        **{kind.kind: kind.from_json for kind in (SubwordPieces, WordPieces, BytePairPieces)},
    }
    return kinds[str(data["kind"])](data)


def _characters_from_json(data: dict[str, object]) -> CharacterPieces:
    added = cast(dict[str, int], data["tokens_to_add"])
    return CharacterPieces(int(str(data["max_characters"])), tokens_to_add=added)
