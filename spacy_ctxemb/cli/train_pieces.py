"""`python -m spacy ctxemb train-pieces`"""

from pathlib import Path

import typer


def train_pieces(
    text_path: Path = typer.Argument(..., help="Plain text, UTF-8", exists=True, dir_okay=False),
    output_path: Path = typer.Argument(..., help="Vocabulary to write, tokenizer.json format"),
    vocab_size: int = typer.Option(8000, help="Pieces at most; that of WordPieces in the config"),
    lowercase: bool = typer.Option(False, "--lowercase", help="Fold case and accents"),
) -> None:
    """Learn a WordPiece vocabulary from a text file."""
    from wasabi import msg

    from ..errors import Errors
    from ..files import read_lines, replacing
    from ..pieces import WordPieces

    pieces = WordPieces(vocab_size, lowercase=lowercase)
    lines = read_lines(text_path)
    if not lines:
        msg.fail(Errors.E038.format(path=text_path), exits=1)
    pieces.train([lines], progress=True)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output_path) as temporary:
        temporary.write_text(pieces.tokenizer.to_str(), encoding="utf8")
    msg.good(f"Learned {pieces.n_trained} pieces", str(output_path))
