"""`python -m spacy ctxemb import elmo`"""

import json
import warnings
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .output_paths import check_output
from .save_new_pipeline import LANG, MIXES, WIDTH, build_pipeline, write_pipeline

if TYPE_CHECKING:
    from ..checkpoints.elmo.checkpoint import ElmoModel


class Layers(str, Enum):
    """What AllenNLP's command `elmo` offered."""

    average = "average"
    top = "top"
    all = "all"


def import_elmo(
    paths: list[Path] = typer.Argument(
        ..., metavar="OPTIONS WEIGHTS OUTPUT", help="options.json, HDF5 file, directory to write"
    ),
    lang: str = LANG,
    width: int | None = WIDTH,
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
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = read_elmo(*sources, unpack_limit=unpack_limit * 1e9)
    for warning in caught:
        msg.warn(str(warning.message))
    check_output(output)
    section = build_model(model, MIXES[layers.value], width=width, added=added)
    nlp = build_pipeline(lang, section, model.tensors)
    what = "a biLM of {n_lstm_layers} LSTM layers, width {width}".format(**model.settings)
    write_pipeline(nlp, output, what)


def parse_tokens(text: str | None) -> dict[str, int] | None:
    """Words and their ids. Raises BadParameter for JSON of another kind."""
    try:
        tokens = None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
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
