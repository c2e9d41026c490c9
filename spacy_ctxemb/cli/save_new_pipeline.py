"""A new pipeline around the weights of a published model: what the import commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

if TYPE_CHECKING:
    from spacy.language import Language
    from torch import Tensor

    from ..thinc_model.embedder_shim import EmbedderShim

LANG: str = typer.Option("en", help="Language of the tokenizer")
WIDTH: int | None = typer.Option(
    None, min=1, help="Width of the vectors, by a projection to be learned"
)

#: What vectors are made of, by the values of --layers.
MIXES: dict[str, dict[str, Any]] = {
    "top": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
    "average": {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None},
    "last4": {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 4},
    "all": {"@architectures": "spacy-ctxemb.ConcatLayers.v1"},
}


def build_pipeline(
    lang: str, model: dict[str, Any], tensors: "dict[str, Tensor]", **settings: Any
) -> "Language":
    """A blank language and `ctxemb` with the weights of an encoder.

    model: its section of the config. settings: others of the component.
    """
    import spacy

    nlp = spacy.blank(lang)
    nlp.add_pipe("ctxemb", config={"model": model, **settings})
    find_shim(nlp).load_encoder(tensors)
    return nlp


def find_shim(nlp: "Language") -> "EmbedderShim":
    from ..thinc_model.embedder_shim import get_shim

    return get_shim(cast(Any, nlp.get_pipe("ctxemb")).model)


def write_pipeline(nlp: "Language", output: Path, what: str) -> None:
    """Write all of a pipeline, or nothing, and say what of its vectors is still to be learned.

    what: it is. Raises E362 if another one has come meanwhile.
    """
    from wasabi import msg

    from ..atomic_files import replacing_folder
    from ..embedder.layer_mix import ScalarMix

    with replacing_folder(output) as temporary:
        nlp.to_disk(temporary)
    embedder = find_shim(nlp).embedder
    n_parameters = sum(weights.numel() for weights in embedder.encoder.parameters())
    msg.good(f"Wrote a pipeline with {what}, {n_parameters / 1e6:.1f}M parameters", str(output))
    if isinstance(embedder.mix, ScalarMix):
        msg.info("Its layers are mixed evenly until training changes the mix.")
    if embedder.projection is not None:
        msg.warn(f"The projection to width {embedder.width} is random until it is trained.")
