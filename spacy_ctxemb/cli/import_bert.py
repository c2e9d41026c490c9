"""`python -m spacy ctxemb import bert`"""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .output_paths import check_output
from .save_new_pipeline import LANG, WIDTH, showing_warnings, write_pipeline

if TYPE_CHECKING:
    from ..checkpoints.sentence_transformers import Sentences


class Head(str, Enum):
    """The task of a trained head."""

    token = "token"
    text = "text"
    question = "question"
    masked = "masked"
    none = "none"


class Layers(str, Enum):
    """What vectors are made of."""

    top = "top"
    average = "average"
    last4 = "last4"
    all = "all"


def import_bert(
    checkpoint: str = typer.Argument(
        ...,
        metavar="MODEL",
        help="OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face Hub; or a directory with "
        "config.json, weights and tokenizer, or with an adapter",
    ),
    output: Path = typer.Argument(..., help="Directory to write"),
    lang: str = LANG,
    width: int | None = WIDTH,
    layers: Layers = typer.Option(
        Layers.top, help="What vectors are: one layer, a mix that can be trained, or all layers"
    ),
    wrap: bool = typer.Option(
        False, "--wrap", help="Run the model of the package transformers, for any architecture"
    ),
    no_pooling: bool = typer.Option(
        False, "--no-pooling", help="Vectors of tokens alone, which a cache can hold"
    ),
    head: Head | None = typer.Option(
        None,
        help="The head to take along: of token, text, question or masked; none for the encoder "
        "alone. By default the one that config.json names, but masked; with --wrap none",
    ),
) -> None:
    """Write a pipeline with a model of BERT's family, from files of transformers.

    Directories of sentence-transformers also say how vectors of texts are made. A trained head
    becomes a component of its own.
    """
    from ..load_published import load_bert

    check_output(output)
    with showing_warnings():
        loaded = load_bert(
            checkpoint,
            lang=lang,
            layers=layers.value,
            width=width,
            wrap=wrap,
            with_pooling=not no_pooling,
            head=head and head.value,
        )
    write_pipeline(loaded, output)
    if loaded.sentences is not None:
        show_sentences(loaded.sentences)


def show_sentences(sentences: "Sentences") -> None:
    from wasabi import msg

    if sentences.doc_pooling is None:
        return
    ending = ", of length 1" if sentences.normalize else ""
    msg.info(f"Vectors of texts: {sentences.doc_pooling} of their pieces{ending}.")
    if sentences.max_pieces is not None:
        msg.info(
            f"sentence-transformers cuts texts after {sentences.max_pieces} pieces; here they are "
            "read to their end."
        )
