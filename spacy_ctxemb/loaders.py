"""Loaders for [initialize.components.ctxemb.encoder_loader]: weights of published models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from .checkpoints.elmo import read_elmo
from .checkpoints.elmo_options import describe
from .encoders import BiLM, Encoder
from .errors import Errors
from .pieces import Pieces

#: Reads weights for an encoder, by the names of its parameters, and checks that they fit.
#: Arguments: the encoder; its pieces; the section of the config in which both stand.
EncoderLoader = Callable[[Encoder, Pieces, str], dict[str, Tensor]]


def build_elmo_weights(*, options: str, weights: str | None = None) -> EncoderLoader:
    """`spacy-ctxemb.ElmoWeights.v1`: the weights of a model in the format of AllenNLP and bilm-tf.

    options: path of its options.json; or of a ZIP file with options and weights.
    weights: path of its HDF5 file; null where `options` is a ZIP file.
    """

    def load(encoder: Encoder, pieces: Pieces, section: str) -> dict[str, Tensor]:
        model = read_elmo(Path(options), None if weights is None else Path(weights))
        differences = find_differences(model.settings, encoder, pieces, section)
        if differences:
            raise ValueError(Errors.E064.format(path=options, differences="; ".join(differences)))
        return model.tensors

    return load


def find_differences(
    settings: dict[str, Any], encoder: Encoder, pieces: Pieces, section: str
) -> list[str]:
    """Where an encoder and its pieces are not as a published model wants them."""
    place = f"[{section}.encoder]"
    if not isinstance(encoder, BiLM):
        return [f"{place} has a {type(encoder).__name__} where spacy-ctxemb.BiLM.v1 is needed"]
    own = describe(encoder)
    lines = [
        f"{place} {name} is {own[name]}, the model has {value}"
        for name, value in sorted(settings.items())
        if own[name] != value
    ]
    if pieces.n_characters != settings["max_characters"]:
        found, value = pieces.n_characters, settings["max_characters"]
        lines.append(f"[{section}.pieces] max_characters is {found}, the model has {value}")
    return lines
