"""`python -m spacy ctxemb export elmo`"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from .export import COMPONENT, find_encoder

if TYPE_CHECKING:
    from ..encoders import BiLM, Encoder


def export_elmo(
    pipeline: str = typer.Argument(..., help="Path or name of a pipeline"),
    output_dir: Path = typer.Argument(..., help="Directory for options.json and weights.hdf5"),
    component: str | None = COMPONENT,
) -> None:
    """Write a pipeline's biLM in ELMo's published format, for AllenNLP and bilm-tf."""
    import spacy
    from wasabi import msg

    from ..checkpoints.elmo.checkpoint import find_obstacles, write_elmo

    check_output(output_dir)
    shim = find_encoder(spacy.load(pipeline), component, is_bilm, wanted="a biLM")
    encoder = cast("BiLM", shim.embedder.encoder)
    write_elmo(encoder, output_dir)
    msg.good("Wrote options.json and weights.hdf5", str(output_dir))
    for program, reasons in find_obstacles(encoder).items():
        if reasons:
            msg.warn(f"{program} cannot load them: {'; '.join(reasons)}")
        else:
            msg.good(f"{program} can load them")
    msg.info("Layer mix, projection and tokens_to_add are not part of the format.")


def check_output(output_dir: Path) -> None:
    """Raise E362 if the files are there already; a download has the same names."""
    from ..errors import Errors

    for name in ("options.json", "weights.hdf5"):
        if (output_dir / name).exists():
            raise ValueError(Errors.E362.format(path=output_dir / name))


def is_bilm(encoder: "Encoder") -> bool:
    from ..encoders import BiLM

    return isinstance(encoder, BiLM)
