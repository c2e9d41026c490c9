"""`python -m spacy ctxemb annotate`"""

from enum import Enum
from pathlib import Path

import typer

from .output_paths import FORCE, check_new


class Layout(str, Enum):
    """What a line of .txt is."""

    sentences = "sentences"
    documents = "documents"


def annotate(
    pipeline: str = typer.Argument(..., help="Directory or package of a trained pipeline"),
    text_path: Path = typer.Argument(
        ..., help="Text as for pretrain: .txt or .jsonl, also compressed, .spacy, .parquet"
    ),
    output_path: Path = typer.Argument(..., help="File *.spacy to write"),
    min_score: float = typer.Option(
        0.0, min=0.0, max=1.0, help="Leave out texts of which the pipeline is less sure"
    ),
    limit: int = typer.Option(0, min=0, help="Texts to read at most, 0 for all"),
    text_field: str = typer.Option("text", help="Where the text is in .jsonl and .parquet"),
    layout: Layout = typer.Option(
        Layout.documents, help="Whether a line of .txt is a document or a sentence"
    ),
    force: bool = FORCE,
) -> None:
    """Label text with a trained pipeline, so that a smaller one can learn from it."""
    from itertools import islice

    import spacy
    from spacy.tokens import DocBin
    from wasabi import msg

    from ..atomic_files import replacing
    from ..pretraining.text.raw_text import TextCorpus
    from ..silver_labels import label_texts

    check_new(output_path, force=force)
    corpus = TextCorpus(str(text_path), layout=layout.value, text_field=text_field)
    texts = (text.text for _, text in corpus.number_documents())
    labelled = DocBin()
    n_texts = 0
    # The place of the output comes first: long work should not end where nothing can be kept.
    with replacing(output_path) as temporary:
        nlp = spacy.load(pipeline)
        for doc in label_texts(nlp, islice(texts, limit or None), min_score=min_score):
            n_texts += 1
            if doc is not None:
                labelled.add(doc)
        temporary.write_bytes(labelled.to_bytes())
    msg.good(f"Labelled {len(labelled):,} of {n_texts:,} texts", str(output_path))
    if not len(labelled):
        msg.warn("The pipeline is sure of no text. Pass a lower --min-score.")
