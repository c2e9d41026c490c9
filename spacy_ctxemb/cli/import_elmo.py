"""`python -m spacy ctxemb import elmo`"""

import json
import warnings
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .save_new_pipeline import build_pipeline, check_output, show_untrained, write_pipeline
from .show_errors import showing_errors

if TYPE_CHECKING:
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
    unpack_limit: float = typer.Option(1.0, min=0.0, help="GB that a ZIP file may unpack to"),
) -> None:
    """Write a pipeline with a published ELMo model, from AllenNLP's or bilm-tf's files.

    A ZIP file with both may stand for OPTIONS WEIGHTS, as the NLPL repository packs them.
    """
    from wasabi import msg

    from ..checkpoints.elmo.checkpoint import read_elmo

    if len(paths) not in (2, 3):
        raise typer.BadParameter("Pass OPTIONS WEIGHTS OUTPUT, or ZIP OUTPUT.")
    *sources, output = paths
    added = parse_tokens(tokens_to_add)
    with showing_errors():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = read_elmo(*sources, unpack_limit=unpack_limit * 1e9)
        for warning in caught:
            msg.warn(str(warning.message))
        check_output(output)
        section = build_model(model, MIXES[layers], width=width, added=added)
        nlp, shim = build_pipeline(lang, section, model.tensors)
        write_pipeline(nlp, output)
    settings = model.settings
    n_parameters = sum(tensor.numel() for tensor in model.tensors.values())
    msg.good(
        f"Wrote a pipeline with a biLM of {settings['n_lstm_layers']} LSTM layers, width "
        f"{settings['width']}, {n_parameters / 1e6:.1f}M parameters",
        str(output),
    )
    show_untrained(shim, is_average=layers is Layers.average)


def parse_tokens(text: str | None) -> dict[str, int] | None:
    """Words and their ids. Raises BadParameter for JSON of another kind."""
    try:
        tokens = None if text is None else json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise typer.BadParameter(f"--tokens-to-add is not JSON: {error}") from error
    if tokens is not None and not (
        isinstance(tokens, dict) and all(type(i) is int for i in tokens.values())
    ):
        raise typer.BadParameter("Pass --tokens-to-add as in '{\"<num>\": 1}'.")
    return tokens


def build_model(
    model: "ElmoModel", mix: dict[str, Any], *, width: int | None, added: dict[str, int] | None
) -> dict[str, Any]:
    """The section of the config for a model. added: tokens that are one character each."""
    return {
        "encoder": {"@architectures": "spacy-ctxemb.BiLM.v1", **model.settings},
        "pieces": {
            "@architectures": "spacy-ctxemb.CharacterPieces.v1",
            "max_characters": model.settings["max_characters"],
            "tokens_to_add": [list(pair) for pair in (added or {}).items()],
        },
        "mix": mix,
        "width": width,
        "window": 512,
        "stride": 384,
        "split_sentences": True,
    }
