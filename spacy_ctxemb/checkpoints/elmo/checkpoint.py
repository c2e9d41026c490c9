"""ELMo's published format, as AllenNLP and bilm-tf read it: options.json and an HDF5 file.

What is read and written again has equal values, bit for bit. The softmax of the training and the
mix of layers are not part of the format.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...atomic_files import replacing
from ...encoders import BiLM
from ...errors import Errors
from ..check_finite import check_finite, check_vectors
from .datasets import find_datasets
from .find_files import UNPACK_LIMIT, open_model
from .hdf5_weights import read_weights, write_weights
from .options_json import describe, read_options, to_options

#: What AllenNLP cuts every token to, whatever the options say.
ALLENNLP_CHARACTERS = 50
#: For how many LSTM layers bilm-tf knows the names of the weights.
BILM_TF_LAYERS = 8


class ElmoModel(NamedTuple):
    """What the files of a model hold.

    settings: of `spacy-ctxemb.BiLM.v1`, ready for a config.
    tensors: by the names of a BiLM's parameters.
    """

    settings: dict[str, Any]
    tensors: dict[str, Tensor]


def read_elmo(
    options: Path, weights: Path | None = None, *, unpack_limit: float = UNPACK_LIMIT
) -> ElmoModel:
    """Read a model.

    options: options.json; or a ZIP file that holds it and the weights.
    weights: the HDF5 file; None where `options` is a ZIP file.
    unpack_limit: bytes that a ZIP file may unpack to.
    Raises E300 to E315, or E353, for files that are missing, damaged, or do not fit each other.

        model = read_elmo(Path("options.json"), Path("weights.hdf5"))
        encoder = BiLM(**model.settings)
        encoder.load_state_dict(model.tensors)
    """
    with open_model(options, weights, unpack_limit) as files:
        settings = read_options(files.options)
        projections, tensors = read_weights(files, settings)
        settings |= projections
        with torch.device("meta"):
            encoder = BiLM(**settings)
        encoder.load_state_dict(tensors, assign=True)
        check_vectors(encoder, files.weights.name)
    return ElmoModel(settings, tensors)


def write_elmo(encoder: BiLM, folder: Path) -> None:
    """Write options.json and weights.hdf5; equal encoders give equal bytes.

    Any encoder can be written; `find_obstacles` tells who can read it. Raises E008 for an encoder
    without weights, E309 for weights that are not finite, E164 where the folder cannot be written.
    """
    if any(parameter.is_meta for parameter in encoder.parameters()):
        raise RuntimeError(Errors.E008)
    tensors = encoder.state_dict()
    for name, _, values in find_datasets(tensors):
        check_finite(torch.cat(values), name=name, path="the encoder")
    with (
        replacing(folder / "options.json") as options,
        replacing(folder / "weights.hdf5") as weights,
    ):
        text = json.dumps(to_options(describe(encoder)), indent=2)
        options.write_text(text + "\n", encoding="utf8")
        write_weights(tensors, weights)


def find_obstacles(encoder: BiLM) -> dict[str, list[str]]:
    """Why AllenNLP and bilm-tf could not load what `write_elmo` writes; empty where they can."""
    settings = describe(encoder)
    return {
        "AllenNLP": list(find_allennlp_obstacles(settings)),
        "bilm-tf": list(find_bilm_tf_obstacles(settings)),
    }


def find_allennlp_obstacles(settings: dict[str, Any]) -> Iterator[str]:
    """It wants both projections in the file, and knows skip connections only."""
    if not settings["skip_connections"]:
        yield "skip_connections is false"
    if not settings["project_hidden"]:
        yield f"hidden_width is width / 2 ({settings['hidden_width']}), without a projection"
    if not settings["project_filters"]:
        yield f"the filters add up to width / 2 ({settings['width'] // 2}), without a projection"
    if settings["max_characters"] != ALLENNLP_CHARACTERS:
        yield f"max_characters is {settings['max_characters']}, not {ALLENNLP_CHARACTERS}"


def find_bilm_tf_obstacles(settings: dict[str, Any]) -> Iterator[str]:
    """It infers from the widths what is projected, and projects to fewer values only."""
    width, n_layers = settings["width"] // 2, settings["n_lstm_layers"]
    n_filters = sum(count for _, count in settings["filters"])
    for name, found, projected in (
        ("hidden_width is", settings["hidden_width"], settings["project_hidden"]),
        ("the filters add up to", n_filters, settings["project_filters"]),
    ):
        if found < width:
            yield f"{name} {found}, less than width / 2 ({width})"
        elif found == width and projected:
            yield f"{name} width / 2 ({width}), with a projection"
    if n_layers > BILM_TF_LAYERS:
        yield f"n_lstm_layers is {n_layers}, more than {BILM_TF_LAYERS}"
