"""Pieces from what `Pieces.to_json` made of them."""

from typing import Any

from ..errors import Errors
from .base import Pieces
from .characters import CharacterPieces
from .subwords import BytePairPieces, SubwordPieces, WordPieces

KINDS: dict[str, type[Pieces]] = {
    kind.kind: kind for kind in (CharacterPieces, SubwordPieces, WordPieces, BytePairPieces)
}


def pieces_from_json(data: dict[str, Any]) -> Pieces:
    """Build the object that `to_json` described. Raises E167 for a kind that is unknown."""
    if data["kind"] not in KINDS:
        raise ValueError(Errors.E167.format(found=data["kind"], known=[*KINDS]))
    return KINDS[data["kind"]].from_json(data)
