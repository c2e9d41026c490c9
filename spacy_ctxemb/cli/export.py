"""`python -m spacy ctxemb export bert`, `export onnx` and `export elmo`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from .output_paths import check_output
from .what_to_export import choose_exported, find_encoder

if TYPE_CHECKING:
    from ..checkpoints.bert.checkpoint import Tokens
    from ..checkpoints.bert.read_head import PublishedHead
    from ..thinc_model.embedder_shim import EmbedderShim


COMPONENT: str | None = typer.Option(
    None,
    help="Component with the encoder, or COMPONENT.MEMBER of a Stack; needed where several have "
    "one, unless --head says which",
)
HEAD: str | None = typer.Option(
    None,
    help="Component with the head to write, or 'none' for the encoder alone; needed where several "
    "have one",
)


def export_bert(
    pipeline: str = typer.Argument(
        ..., help="Path or name of a pipeline; with --weights, a pretraining config"
    ),
    output_dir: Path = typer.Argument(..., help="Directory to write"),
    component: str | None = COMPONENT,
    head: str | None = HEAD,
    weights: Path | None = typer.Option(
        None, help="A model*.bin of pretraining, to write its head as well", exists=True
    ),
) -> None:
    """Write a pipeline's encoder of pieces for transformers, with its tokenizer and its head.

    With --weights, write what masked language modelling has pretrained, with its head.
    """
    import spacy
    from wasabi import msg

    from ..checkpoints.bert.write_head import name_architecture

    check_output(output_dir)
    if weights is None:
        shim, published = choose_exported(spacy.load(pipeline), component, head)
    else:
        shim, published = load_with_head(Path(pipeline), weights)
    what = write(shim, output_dir, published)
    if published is not None:
        what = name_architecture(what, published.task)
    msg.good(f"Wrote a model of the type {what}", str(output_dir))
    if published is None:
        msg.info("Layer mix, projection and pooling are not part of the format.")


def export_onnx(
    pipeline: str = typer.Argument(..., help="Path or name of a pipeline"),
    output_dir: Path = typer.Argument(..., help="Directory to write"),
    component: str | None = COMPONENT,
    head: str | None = HEAD,
) -> None:
    """Write a pipeline's Transformer, and its head, in the ONNX format, in 32 and in 8 bits.

    Beside them: tokenizer.json, labels.json, and an example that runs without PyTorch and spaCy.
    """
    import spacy
    from wasabi import msg

    from ..onnx.write_onnx import write_onnx

    check_output(output_dir)
    shim, published = choose_exported(spacy.load(pipeline), component, head)
    tokenizer = find_tokens(shim).tokenizer
    found = write_onnx(shim.embedder.encoder, tokenizer, output_dir, head=published)
    msg.good("Wrote model.onnx, model_int8.onnx and an example", str(output_dir))
    msg.info(
        f"Largest differences from PyTorch: {found.floats:.1e} in 32 bits, {found.bytes:.1e} in 8 "
        f"bits; the largest value is {found.largest:.1f}."
    )


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


def check_files(output_dir: Path) -> None:
    """Raise E362 if the files are there already; a download has the same names."""
    from ..errors import Errors

    for name in ("options.json", "weights.hdf5"):
        if (output_dir / name).exists():
            raise ValueError(Errors.E362.format(path=output_dir / name))


def load_with_head(config_path: Path, weights: Path) -> "tuple[EmbedderShim, PublishedHead]":
    from ..checkpoints.bert.masked_lm_head import build_head
    from ..pretraining.spacy_pretrain_objectives import load_pretrained, read_pretraining

    shim = load_pretrained(*read_pretraining(config_path), weights)
    return shim, build_head(cast(Any, shim.objective), shim.embedder.encoder)


def write(shim: "EmbedderShim", output_dir: Path, head: "PublishedHead | None") -> str:
    from ..checkpoints.bert.checkpoint import write_bert
    from ..checkpoints.load_any_huggingface import write_huggingface
    from ..encoders.huggingface_wrapper import HuggingFaceEncoder
    from ..errors import Errors

    encoder = shim.embedder.encoder
    if isinstance(encoder, HuggingFaceEncoder):
        if head is not None:
            reason = "one of this package, on a model that transformers runs; pass --head none"
            raise ValueError(Errors.E349.format(reason=reason))
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
