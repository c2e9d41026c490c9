"""Loaders for [initialize.components.ctxemb.pieces_loader]: vocabularies of subword pieces."""

import json
from collections.abc import Callable
from pathlib import Path

from ..errors import Errors
from ..read_files import read_lines, reading
from .base import Pieces
from .subwords import LearnedPieces, SubwordPieces

#: Gives pieces a vocabulary. Arguments: the pieces; the section of the config in which they stand.
PiecesLoader = Callable[[Pieces, str], None]


def build_tokenizer_file(*, path: str | None) -> PiecesLoader:
    """`spacy-ctxemb.TokenizerFile.v1`: the vocabulary of a tokenizer.json.

    path: a file that `python -m spacy ctxemb train-pieces` wrote, or any tokenizer.json of the
        `tokenizers` library.
    """

    def load(pieces: Pieces, section: str) -> None:
        if not isinstance(pieces, SubwordPieces):
            options = "SubwordPieces, WordPieces or BytePairPieces"
            raise ValueError(describe("TokenizerFile", pieces, section, options))
        pieces.load(read_vocabulary(path), source=str(path))

    return load


def read_vocabulary(path: str | None) -> str:
    """The text of a tokenizer.json. Raises E132 if it is not there, E163 if it is not JSON."""
    if path is None or not Path(path).is_file():
        raise ValueError(Errors.E132.format(path=path))
    with reading(Path(path), "a tokenizer.json"):
        text = Path(path).read_text(encoding="utf8")
        json.loads(text)
    return text


def build_train_pieces(*, path: str) -> PiecesLoader:
    """`spacy-ctxemb.TrainPieces.v1`: a vocabulary learned from a text.

    path: plain text in UTF-8, one document a line.
    """

    def train(pieces: Pieces, section: str) -> None:
        if not isinstance(pieces, LearnedPieces):
            options = "WordPieces or BytePairPieces"
            raise ValueError(describe("TrainPieces", pieces, section, options))
        lines = read_lines(Path(path)) if Path(path).is_file() else []
        if not lines:
            raise ValueError(Errors.E403.format(path=path))
        pieces.train([lines])

    return train


def load_vocabulary(pieces: SubwordPieces, tokenizer: str, path: str, section: str) -> None:
    """Give pieces the vocabulary of a published model. Raises E135 if they have another one."""
    if pieces.is_trained:
        from tokenizers import Tokenizer

        vocabulary, own = Tokenizer.from_str(tokenizer).get_vocab(), pieces.tokenizer.get_vocab()
        if own != vocabulary:
            raise ValueError(
                Errors.E135.format(
                    section=section, found=len(own), expected=len(vocabulary), path=path
                )
            )
    pieces.load(tokenizer, source=path)


def describe(loader: str, pieces: Pieces, section: str, options: str) -> str:
    """The message for a loader that cannot be used with these pieces."""
    return Errors.E129.format(
        loader=f"spacy-ctxemb.{loader}.v1",
        section=section,
        found=type(pieces).__name__,
        options=options,
    )
