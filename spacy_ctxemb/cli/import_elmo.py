"""`python -m spacy ctxemb import elmo`"""

import json
import warnings
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .messages import showing_errors

if TYPE_CHECKING:
    from spacy.language import Language

    from ..checkpoints.elmo.checkpoint import ElmoModel


class Layers(str, Enum):
    """What AllenNLP's command `elmo` offered."""

    average = "average"
    top = "top"
    all = "all"


MIXES: dict[Layers, dict[str, Any]] = {
    Layers.average: {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None},
    Layers.top: {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
    Layers.all: {"@architectures": "spacy-ctxemb.ConcatLayers.v1"},
}


def import_elmo(
    paths: list[Path] = typer.Argument(
        ..., metavar="OPTIONS WEIGHTS OUTPUT", help="options.json, HDF5 file, directory to write"
    ),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
    width: int | None = typer.Option(
        None, min=1, help="Width of the vectors, by a projection to be learned"
    ),
    layers: Layers = typer.Option(
        Layers.average, help="What vectors are: a mix that can be trained, one layer, or all layers"
    ),
    tokens_to_add: str | None = typer.Option(
        None, help="JSON object of words that are one raw character id each, as in AllenNLP"
    ),
) -> None:
    """Write a pipeline with a published ELMo model, from AllenNLP's or bilm-tf's files.

    A ZIP file with both may stand for OPTIONS WEIGHTS, as the NLPL repository packs them.
    """
    from wasabi import msg

    from ..checkpoints.elmo.checkpoint import read_elmo
    from ..files import replacing_folder

    if len(paths) not in (2, 3):
        raise typer.BadParameter("Pass OPTIONS WEIGHTS OUTPUT, or ZIP OUTPUT.")
    *sources, output = paths
    added = parse_tokens(tokens_to_add)
    with showing_errors():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = read_elmo(*sources)
        for warning in caught:
            msg.warn(str(warning.message))
        check_output(output)
        nlp = build_pipeline(model, MIXES[layers], lang=lang, width=width, tokens_to_add=added)
        with replacing_folder(output) as temporary:
            nlp.to_disk(temporary)
    settings = model.settings
    n_parameters = sum(tensor.numel() for tensor in model.tensors.values())
    msg.good(
        f"Wrote a pipeline with a biLM of {settings['n_lstm_layers']} LSTM layers, width "
        f"{settings['width']}, {n_parameters / 1e6:.1f}M parameters",
        str(output),
    )
    if layers is Layers.average:
        msg.info("Its layers are mixed evenly until training changes the mix.")
    if has_projection(nlp):
        msg.warn(f"The projection to width {width} is random until it is trained.")


def has_projection(nlp: "Language") -> bool:
    """Whether `ctxemb` has a linear layer of its own."""
    from ..thinc_model.model import get_shim

    model = nlp.get_pipe("ctxemb").model  # type: ignore[attr-defined] # a PipeCallable
    return get_shim(model).embedder.projection is not None


def check_output(output: Path) -> None:
    """Raise E065 if there is anything but an empty directory."""
    from ..errors import Errors

    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise ValueError(Errors.E065.format(path=output))


def parse_tokens(text: str | None) -> dict[str, int] | None:
    """An object of words and ids."""
    try:
        tokens = None if text is None else json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"--tokens-to-add is not JSON: {error}") from error
    if tokens is not None and not (
        isinstance(tokens, dict) and all(type(i) is int for i in tokens.values())
    ):
        raise typer.BadParameter("Pass --tokens-to-add as in '{\"<num>\": 1}'.")
    return tokens


def build_pipeline(
    model: "ElmoModel",
    mix: dict[str, Any],
    *,
    lang: str,
    width: int | None,
    tokens_to_add: dict[str, int] | None,
) -> "Language":
    """A blank language and `ctxemb` with the model's weights."""
    import spacy

    from ..thinc_model.model import get_shim

    nlp = spacy.blank(lang)
    settings = {
        "encoder": {"@architectures": "spacy-ctxemb.BiLM.v1", **model.settings},
        "pieces": {
            "@architectures": "spacy-ctxemb.CharacterPieces.v1",
            "max_characters": model.settings["max_characters"],
            "tokens_to_add": [list(pair) for pair in (tokens_to_add or {}).items()],
        },
        "mix": mix,
        "width": width,
        "window": 512,
        "stride": 384,
        "split_sentences": True,
    }
    component = nlp.add_pipe("ctxemb", config={"model": settings})
    get_shim(component.model).load_encoder(model.tensors)  # type: ignore[attr-defined] # a PipeCallable
    return nlp
