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
    stored, texts = DocBin(attrs=["ORTH", "SPACY"], store_user_data=True), set[str]()
    for docs in read_squad(input_path, spacy.blank(lang).make_doc):
        for doc in docs:
            stored.add(doc)
            texts.add(doc.text)
    with replacing(output) as temporary:
        temporary.write_bytes(stored.to_bytes())
    msg.good(f"{len(stored)} questions about {len(texts)} texts", str(output))
