"""`python -m spacy ctxemb export bert` and `export elmo`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from .output_paths import check_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from spacy.language import Language

    from ..checkpoints.bert.checkpoint import Head, Tokens
    from ..encoders import Encoder
    from ..thinc_model.embedder_shim import EmbedderShim


COMPONENT: str | None = typer.Option(
    None,
    help="Component with the encoder, or COMPONENT.MEMBER of a Stack; needed where several have "
    "one",
)


def export_bert(
    pipeline: str = typer.Argument(
        ..., help="Path or name of a pipeline; with --weights, a pretraining config"
    ),
    output_dir: Path = typer.Argument(..., help="Directory to write"),
    component: str | None = COMPONENT,
    weights: Path | None = typer.Option(
        None, help="A model*.bin of pretraining, to write its head as well", exists=True
    ),
) -> None:
    """Write a pipeline's encoder of pieces for transformers, with its tokenizer.

    With --weights, write what masked language modelling has pretrained, with its head.
    """
    import spacy
    from wasabi import msg

    check_output(output_dir)
    if weights is None:
        nlp, head = spacy.load(pipeline), None
        wanted = "an encoder of pieces"
        shim = find_encoder(nlp, component, lambda x: x.n_characters is None, wanted=wanted)
    else:
        shim, head = load_with_head(Path(pipeline), weights)
    model_type = write(shim, output_dir, head)
    what = model_type if head is None else head.architecture
    msg.good(f"Wrote a model of the type {what}", str(output_dir))
    if head is None:
        msg.info("Layer mix, projection and pooling are not part of the format.")


def export_elmo(
    pipeline: str = typer.Argument(..., help="Path or name of a pipeline"),
    output_dir: Path = typer.Argument(..., help="Directory for options.json and weights.hdf5"),
    component: str | None = COMPONENT,
) -> None:
    """Write a pipeline's biLM in ELMo's published format, for AllenNLP and bilm-tf."""
    import spacy
    from wasabi import msg

    from ..checkpoints.elmo.checkpoint import find_obstacles, write_elmo
    from ..encoders import BiLM

    check_files(output_dir)
    nlp = spacy.load(pipeline)
    shim = find_encoder(nlp, component, lambda x: isinstance(x, BiLM), wanted="a biLM")
    encoder = cast(BiLM, shim.embedder.encoder)
    write_elmo(encoder, output_dir)
    msg.good("Wrote options.json and weights.hdf5", str(output_dir))
    for program, reasons in find_obstacles(encoder).items():
        if reasons:
            msg.warn(f"{program} cannot load them: {'; '.join(reasons)}")
        else:
            msg.good(f"{program} can load them")
    msg.info("Layer mix, projection and tokens_to_add are not part of the format.")


def find_encoder(
    nlp: "Language", component: str | None, fits: "Callable[[Encoder], bool]", *, wanted: str
) -> "EmbedderShim":
    """The one encoder of some kind in a pipeline, or in one of its components.

    fits: whether an encoder is of this kind. wanted: its name in the message.
    Raises E361 where there is none, or more than one.
    """
    from ..errors import Errors
    from ..stack.name_encoders import is_of, list_encoders

    found = [(name, shim) for name, shim in list_encoders(nlp) if fits(shim.embedder.encoder)]
    chosen = [shim for name, shim in found if is_of(name, component)]
    if len(chosen) != 1:
        names = [name for name, _ in found]
        message = Errors.E361.format(names=nlp.component_names, wanted=wanted, found=names)
        raise ValueError(message)
    return chosen[0]


def check_files(output_dir: Path) -> None:
    """Raise E362 if the files are there already; a download has the same names."""
    from ..errors import Errors

    for name in ("options.json", "weights.hdf5"):
        if (output_dir / name).exists():
            raise ValueError(Errors.E362.format(path=output_dir / name))


def load_with_head(config_path: Path, weights: Path) -> "tuple[EmbedderShim, Head]":
    from ..checkpoints.bert.masked_lm_head import build_head
    from ..pretraining.spacy_pretrain_objectives import load_pretrained, read_pretraining

    shim = load_pretrained(*read_pretraining(config_path), weights)
    return shim, build_head(cast(Any, shim.objective), shim.embedder.encoder)


def write(shim: "EmbedderShim", output_dir: Path, head: "Head | None") -> str:
    from ..checkpoints.bert.checkpoint import write_bert
    from ..checkpoints.load_any_huggingface import write_huggingface
    from ..encoders.huggingface_wrapper import HuggingFaceEncoder

    encoder = shim.embedder.encoder
    if isinstance(encoder, HuggingFaceEncoder):
        return write_huggingface(encoder, find_tokens(shim), output_dir)
    return write_bert(encoder, find_tokens(shim), output_dir, head=head)


def find_tokens(shim: "EmbedderShim") -> "Tokens":
    """The tokenizer, and the pieces before and after a text."""
    from ..checkpoints.bert.checkpoint import Tokens
    from ..pieces.subwords import SubwordPieces

    shim.check_materialised()
    pieces = cast(SubwordPieces, shim.pieces)
    begin, end = (int(i) for i in pieces.boundaries)
    return Tokens(pieces.tokenizer.to_str(), (begin, end))
