"""`python -m spacy ctxemb import elmo`"""

import json
from enum import Enum
from pathlib import Path

import typer

from .output_paths import check_output
from .save_new_pipeline import LANG, WIDTH, showing_warnings, write_pipeline


class Layers(str, Enum):
    """What AllenNLP's command `elmo` offered."""

    average = "average"
    top = "top"
    all = "all"


def import_elmo(
    paths: list[str] = typer.Argument(
        ...,
        metavar="OPTIONS WEIGHTS OUTPUT",
        help="options.json and HDF5 file, paths or addresses; or OWNER/NAME on the Hugging Face "
        "Hub, a folder or a ZIP file with both; directory to write",
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

    ZIP files are those of the NLPL repository. After an address of https, "#sha256=HEX" is the
    checksum that the file must have.
    """
    from ..load_published import load_elmo

    if len(paths) not in (2, 3):
        raise typer.BadParameter("Pass OPTIONS WEIGHTS OUTPUT, or MODEL OUTPUT.")
    *files, last = paths
    output, added = Path(last), parse_tokens(tokens_to_add)
    check_output(output)
    with showing_warnings():
        loaded = load_elmo(
            files,
            lang=lang,
            layers=layers.value,
            width=width,
            tokens_to_add=added,
            unpack_limit=unpack_limit * 1e9,
        )
    write_pipeline(loaded, output)


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
