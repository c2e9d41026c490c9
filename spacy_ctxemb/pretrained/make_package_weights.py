"""Make a folder of weights to ship from a run of `ctxemb pretrain`:

python -m spacy_ctxemb.pretrained.make_package_weights RUN NAME [--eight-bits]
"""

import json
from pathlib import Path
from typing import cast

import torch
import typer
from safetensors.torch import save_file
from spacy.util import load_config, load_model_from_config

from ..atomic_files import replacing
from ..component import ContextualEmbedder
from ..pieces.subwords import SubwordPieces
from ..read_files import reading
from ..thinc_model.embedder_shim import find_shims
from . import MODEL, VOCABULARY, WEIGHTS
from .eight_bits import pack


def make(run: Path, name: str, eight_bits: bool = False) -> Path:
    """Write the encoder of a finished run, and its vocabulary if it has one, beside this file.

    run: the folder that `ctxemb pretrain` has written. name: of the new folder. eight_bits: of a
    parameter, instead of 16.
    """
    config = load_config(run / "config.cfg", interpolate=True)
    component = config.pop("pretrain")["component"]
    config["components"][component]["pretrained"] = None
    nlp = load_model_from_config(config, auto_fill=True)
    model = cast(ContextualEmbedder, nlp.get_pipe(component)).model
    weights = run / "model-last.bin"
    with reading(weights, "the weights of a finished run"):
        model.from_bytes(weights.read_bytes())
    (shim,) = find_shims(model)
    tensors = shim.embedder.encoder.state_dict()
    folder = Path(__file__).parent / name
    with replacing(folder / WEIGHTS) as temporary:
        halves = {n: tensor.to(torch.float16).contiguous() for n, tensor in tensors.items()}
        save_file(pack(tensors) if eight_bits else halves, temporary)
    if isinstance(shim.pieces, SubwordPieces):
        with replacing(folder / VOCABULARY) as temporary:
            temporary.write_text(shim.pieces.tokenizer.to_str(), encoding="utf8")
    with replacing(folder / MODEL) as temporary:
        section = nlp.config["components"][component]["model"]
        temporary.write_text(json.dumps(section, indent=2) + "\n", encoding="utf8")
    return folder


if __name__ == "__main__":
    typer.run(make)
