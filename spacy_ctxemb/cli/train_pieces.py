"""`python -m spacy ctxemb train-pieces`"""

from enum import Enum
from pathlib import Path

import typer

from .output_paths import FORCE, check_new


class Kind(str, Enum):
    """How text is cut into pieces."""

    wordpiece = "wordpiece"
    bpe = "bpe"


def train_pieces(
    text_path: Path = typer.Argument(
        ...,
        help="Text as for pretrain: .txt or .jsonl, also compressed, .spacy, .parquet; or a folder",
    ),
    output_path: Path = typer.Argument(..., help="Vocabulary to write, tokenizer.json format"),
    kind: Kind = typer.Option(
        Kind.wordpiece, help="wordpiece for WordPieces in the config, bpe for BytePairPieces"
    ),
    vocab_size: int = typer.Option(8000, help="Pieces at most; that of the pieces in the config"),
    text_field: str = typer.Option("text", help="Where the text is in .jsonl and .parquet"),
    lowercase: bool = typer.Option(False, "--lowercase", help="Fold case and accents"),
    force: bool = FORCE,
) -> None:
    """Learn a vocabulary of pieces from text.

    Nothing is written if that fails; a vocabulary that was there before stays then.
    """
    from wasabi import msg

    from ..atomic_files import replacing
    from ..errors import Errors
    from ..pieces.subwords import BytePairPieces, WordPieces
    from ..pretraining.text.raw_text import TextCorpus

    if lowercase and kind is not Kind.wordpiece:
        raise ValueError(Errors.E130.format(kind=kind.value))
    pieces: WordPieces | BytePairPieces = WordPieces(vocab_size, lowercase=lowercase)
    if kind is Kind.bpe:
        pieces = BytePairPieces(vocab_size)
    # The place of the output comes first: a long training should not end where nothing can be kept.
    check_new(output_path, force=force)
    with replacing(output_path) as temporary:
        pieces.train(TextCorpus(str(text_path), text_field=text_field), progress=True)
        temporary.write_text(pieces.tokenizer.to_str(), encoding="utf8")
    msg.good(f"Learned {pieces.n_trained} pieces", str(output_path))
