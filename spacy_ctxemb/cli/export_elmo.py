"""`python -m spacy ctxemb export elmo`"""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .messages import showing_errors

if TYPE_CHECKING:
    from spacy.language import Language

    from ..encoders import BiLM


def export_elmo(
    pipeline: str = typer.Argument(..., help="Path or name of a pipeline"),
    output_dir: Path = typer.Argument(..., help="Directory for options.json and weights.hdf5"),
    component: str | None = typer.Option(
        None,
        help="Component with the biLM, or COMPONENT.MEMBER of a Stack; needed where several "
        "have one",
    ),
) -> None:
    """Write a pipeline's biLM in ELMo's published format, for AllenNLP and bilm-tf."""
    import spacy
    from wasabi import msg

    from ..checkpoints.elmo.checkpoint import find_obstacles, write_elmo

    with showing_errors():
        check_output(output_dir)
        encoder = find_bilm(spacy.load(pipeline), component)
        write_elmo(encoder, output_dir)
    msg.good("Wrote options.json and weights.hdf5", str(output_dir))
    for program, reasons in find_obstacles(encoder).items():
        if reasons:
            msg.warn(f"{program} cannot load them: {'; '.join(reasons)}")
        else:
            msg.good(f"{program} can load them")
    msg.info("Layer mix, projection and tokens_to_add are not part of the format.")


def check_output(output_dir: Path) -> None:
    """Refuse to write over other files; a download has the same names."""
    from ..errors import Errors

    for name in ("options.json", "weights.hdf5"):
        if (output_dir / name).exists():
            raise ValueError(Errors.E065.format(path=output_dir / name))


def find_bilm(nlp: "Language", component: str | None) -> "BiLM":
    """The one biLM of a pipeline, or of one of its components."""
    from ..encoders import BiLM
    from ..errors import Errors
    from ..stack.encoders import is_of, list_encoders

    found = [
        (name, shim.embedder.encoder)
        for name, shim in list_encoders(nlp)
        if isinstance(shim.embedder.encoder, BiLM)
    ]
    chosen = [(name, encoder) for name, encoder in found if is_of(name, component)]
    if len(chosen) != 1:
        names = [name for name, _ in found]
        raise ValueError(Errors.E058.format(names=nlp.component_names, found=names))
    return chosen[0][1]
