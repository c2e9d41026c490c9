"""A new pipeline around the weights of a published model: what the import commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from spacy.language import Language
    from torch import Tensor

    from ..component import ContextualEmbedder
    from ..thinc_model.embedder_shim import EmbedderShim


class NewPipeline(NamedTuple):
    """A language with the component `ctxemb`, and the shim of its model."""

    nlp: "Language"
    shim: "EmbedderShim"


def build_pipeline(
    lang: str, model: dict[str, Any], tensors: "dict[str, Tensor]", **settings: Any
) -> NewPipeline:
    """A blank language and `ctxemb` with the weights of an encoder.

    model: its section of the config. settings: others of the component.
    """
    import spacy

    from ..thinc_model.embedder_shim import get_shim

    nlp = spacy.blank(lang)
    pipe = nlp.add_pipe("ctxemb", config={"model": model, **settings})
    shim = get_shim(cast("ContextualEmbedder", pipe).model)
    shim.load_encoder(tensors)
    return NewPipeline(nlp, shim)


def check_output(output: Path) -> None:
    """Raise E362 if there is anything but an empty directory, E166 for the working directory."""
    from ..atomic_files import refuse_working_directory
    from ..errors import Errors

    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise ValueError(Errors.E362.format(path=output))
    refuse_working_directory(output)


def write_pipeline(nlp: "Language", output: Path) -> None:
    """Write all of a pipeline, or nothing. Raises E362 if another one has come meanwhile."""
    from ..atomic_files import replacing_folder

    with replacing_folder(output) as temporary:
        nlp.to_disk(temporary)


def show_untrained(shim: "EmbedderShim", *, is_average: bool) -> None:
    """Say what of the vectors is still to be learned. is_average: whether layers are mixed."""
    from wasabi import msg

    if is_average:
        msg.info("Its layers are mixed evenly until training changes the mix.")
    if shim.embedder.projection is not None:
        width = shim.embedder.width
        msg.warn(f"The projection to width {width} is random until it is trained.")
