"""Pieces from what `Pieces.to_json` made of them."""

import json
from typing import Any

from .base import Pieces
from .characters import CharacterPieces


def pieces_from_json(data: dict[str, Any]) -> Pieces:
    """Build the object that `to_json` described."""
    from .subwords import BytePairPieces, SubwordPieces, WordPieces

    kinds = (CharacterPieces, SubwordPieces, WordPieces, BytePairPieces)
    settings = {name: data[name] for name in data if name not in ("kind", "tokenizer")}
    pieces: Pieces = {kind.kind: kind for kind in kinds}[data["kind"]](**settings)
    if isinstance(pieces, SubwordPieces) and data["tokenizer"] is not None:
        pieces.load(json.dumps(data["tokenizer"], ensure_ascii=False))
    return pieces
