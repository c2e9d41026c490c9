"""`python -m spacy ctxemb convert-squad`"""

from pathlib import Path

import typer

from .output_paths import FORCE, check_new


def convert_squad(
    input_path: Path = typer.Argument(
        ..., help="JSON file in the format of SQuAD", exists=True, dir_okay=False
    ),
    output: Path = typer.Argument(..., help="File *.spacy"),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
    force: bool = FORCE,
) -> None:
    """Convert questions with answers to spaCy's binary format: a text for each question, which
    is in doc._.ctxemb_questions."""
    import spacy
    from spacy.tokens import DocBin
    from wasabi import msg

    from ..atomic_files import replacing
    from ..heads.squad import read_squad

    check_new(output, force=force)
    articles = read_squad(input_path, spacy.blank(lang).make_doc)
    docs = [doc for article in articles for doc in article]
    stored = DocBin(docs=docs, store_user_data=True)
    with replacing(output) as temporary:
        temporary.write_bytes(stored.to_bytes())
    n_texts = len({doc.text for doc in docs})
    msg.good(f"{len(docs)} questions about {n_texts} texts", str(output))
