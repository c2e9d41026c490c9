"""Put the encoder of a run of `ctxemb pretrain` into the package, as the weights that ship:

python -m spacy_ctxemb.pretrained.make_package_weights RUN
"""

from pathlib import Path
from typing import cast

import typer
from safetensors.torch import save_file
from spacy.util import load_config, load_model_from_config

from ..atomic_files import replacing
from ..component import ContextualEmbedder
from ..pieces.subwords import SubwordPieces
from ..read_files import reading
from ..thinc_model.embedder_shim import get_shim
from . import DEFAULT, FOLDER, VOCABULARY, WEIGHTS, check_fit
from .store_in_eight_bits import pack


def make(run: Path) -> None:
    """Write weights and vocabulary of a finished run, whose encoder has the default shape.

    run: the folder that `ctxemb pretrain` has written. Raises E163 for a run that is not finished,
    E012 for an encoder of another shape.
    """
    config = load_config(run / "config.cfg", interpolate=True)
    component = config.pop("pretrain")["component"]
    config["components"][component]["pretrained"] = None
    nlp = load_model_from_config(config, auto_fill=True)
    model = cast(ContextualEmbedder, nlp.get_pipe(component)).model
    shim = get_shim(model)
    check_fit(DEFAULT, shim.embedder.encoder, component)
    weights = run / "model-last.bin"
    with reading(weights, "the weights of a finished run"):
        model.from_bytes(weights.read_bytes())
    with replacing(FOLDER / WEIGHTS) as temporary:
        save_file(pack(shim.embedder.encoder.state_dict()), temporary)
    with replacing(FOLDER / VOCABULARY) as temporary:
        pieces = cast(SubwordPieces, shim.pieces)
        temporary.write_text(pieces.tokenizer.to_str(), encoding="utf8")


if __name__ == "__main__":
    typer.run(make)
