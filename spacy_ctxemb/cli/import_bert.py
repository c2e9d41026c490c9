"""`python -m spacy ctxemb import bert`"""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from .output_paths import check_output
from .save_new_pipeline import LANG, MIXES, WIDTH, build_pipeline, find_shim, write_pipeline

if TYPE_CHECKING:
    from ..checkpoints.bert.checkpoint import BertModel
    from ..checkpoints.load_any_huggingface import WrappedModel
    from ..checkpoints.sentence_transformers import Sentences
    from ..pieces.subwords import SubwordPieces

#: Pieces of the longest window that is encoded at once.
LONGEST = 4096


class Layers(str, Enum):
    """What vectors are made of."""

    top = "top"
    average = "average"
    last4 = "last4"
    all = "all"


def import_bert(
    checkpoint: Path = typer.Argument(
        ..., metavar="CHECKPOINT_DIR", help="Directory with config.json, weights and tokenizer"
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
) -> None:
    """Write a pipeline with a model of BERT's family, from files of transformers.

    Directories of sentence-transformers also say how vectors of texts are made.
    """
    from ..checkpoints.bert.checkpoint import read_bert
    from ..checkpoints.load_any_huggingface import read_huggingface

    model: BertModel | WrappedModel
    read = read_huggingface if wrap else read_bert
    model = read(checkpoint, with_pooling=not no_pooling)
    sentences = model.sentences
    check_output(output)
    section = build_model(model.section, MIXES[layers.value], width=width)
    pooling = {"doc_pooling": sentences.doc_pooling, "normalize": sentences.normalize}
    nlp = build_pipeline(lang, section, model.tensors, **pooling)
    shim = find_shim(nlp)
    cast("SubwordPieces", shim.pieces).load(model.tokenizer)
    encoder = shim.embedder.encoder
    what = f"a model of the type {model.model_type}: {encoder.n_layers - 1} blocks, width "
    write_pipeline(nlp, output, f"{what}{encoder.width}, vocabulary of {encoder.n_ids}")
    show_sentences(sentences)


def build_model(
    encoder_section: dict[str, Any], mix: dict[str, Any], *, width: int | None
) -> dict[str, Any]:
    from spacy.util import registry

    from ..windows.pieces_to_windows import N_BOUNDARIES

    encoder = registry.resolve({"encoder": encoder_section})["encoder"]
    longest = min(encoder.max_length or LONGEST, LONGEST)
    return {
        "encoder": encoder_section,
        "pieces": {"@architectures": "spacy-ctxemb.SubwordPieces.v1", "vocab_size": encoder.n_ids},
        "mix": mix,
        "width": width,
        "window": longest - N_BOUNDARIES,
        "split_sentences": False,
    }


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
    if sentences.prompt is not None:
        msg.warn(
            f"sentence-transformers puts '{sentences.prompt}' before each text; here you do it."
        )
