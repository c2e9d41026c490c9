"""Pieces from what `Pieces.to_json` made of them."""

from typing import Any

from .base import Pieces
from .characters import CharacterPieces
from .subwords import BytePairPieces, SubwordPieces, WordPieces

KINDS: tuple[type[Pieces], ...] = (CharacterPieces, SubwordPieces, WordPieces, BytePairPieces)


def pieces_from_json(data: dict[str, Any]) -> Pieces:
    """Build the object that `to_json` described."""
    return {kind.kind: kind for kind in KINDS}[data["kind"]].from_json(data)
