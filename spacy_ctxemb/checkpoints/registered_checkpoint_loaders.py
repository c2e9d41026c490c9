"""Loaders for [initialize.components.ctxemb.encoder_loader]: weights of published models."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor

from ..encoders import BiLM, Encoder
from ..encoders.huggingface_wrapper import HuggingFaceEncoder
from ..errors import Errors
from ..pieces.base import Pieces
from ..pieces.registered_vocabulary_loaders import load_vocabulary
from ..pieces.subwords import SubwordPieces
from ..remote.find_model import hide_secrets
from .bert.checkpoint import BertModel, read_bert
from .bert.settings_from_config_json import describe as describe_bert
from .elmo.checkpoint import ElmoModel, read_elmo
from .elmo.find_files import find_elmo
from .elmo.options_json import describe as describe_elmo
from .encoder_loader_type import EncoderLoader, OriginalTensors
from .load_any_huggingface import WrappedModel, describe_sizes, read_huggingface
from .open_checkpoint import open_checkpoint


def build_elmo_weights(*, options: str, weights: str | None = None) -> EncoderLoader:
    """`spacy-ctxemb.ElmoWeights.v1`: the weights of a model in the format of AllenNLP and bilm-tf.

    options: path or address of its options.json, or of a ZIP file with options and weights; or a
        folder or OWNER/NAME on the Hugging Face Hub that has both. "#sha256=HEX" at the end of an
        address is the checksum that the file must have.
    weights: path or address of its HDF5 file; null where `options` has it.
    """

    def load(encoder: Encoder, pieces: Pieces, section: str) -> dict[str, Tensor]:
        files, origins = find_elmo([one for one in (options, weights) if one is not None])
        model = read_elmo(*files)
        differences = find_elmo_differences(model, encoder, pieces, section)
        check_fit(hide_secrets(options), "elmo", differences)
        return OriginalTensors(model.tensors, origins)

    return load


def find_elmo_differences(
    model: ElmoModel, encoder: Encoder, pieces: Pieces, section: str
) -> Iterator[str]:
    """Where an encoder and its pieces are not as a published model wants them."""
    place = f"[{section}.encoder]"
    if not isinstance(encoder, BiLM):
        yield f"{place} has a {type(encoder).__name__} where a BiLM is needed"
        return
    yield from compare(describe_elmo(encoder), model.settings, place)
    own = {"max_characters": pieces.n_characters}
    wanted = {"max_characters": model.settings["max_characters"]}
    yield from compare(own, wanted, f"[{section}.pieces]")


def build_bert_weights(*, path: str) -> EncoderLoader:
    """`spacy-ctxemb.BertWeights.v1`: the weights and the vocabulary of a model of BERT's family.

    path: a directory as transformers, sentence-transformers or peft saves it; or OWNER/NAME or
        OWNER/NAME@REVISION on the Hugging Face Hub. A `HuggingFace.v1` gets the weights of any
        model that transformers knows.
    """

    def load(encoder: Encoder, pieces: Pieces, section: str) -> dict[str, Tensor]:
        read = read_huggingface if isinstance(encoder, HuggingFaceEncoder) else read_bert
        model: BertModel | WrappedModel
        with open_checkpoint(path) as (folder, origins):
            model = read(folder)
        check_fit(path, "bert", find_bert_differences(model, encoder, pieces, section))
        load_vocabulary(cast(SubwordPieces, pieces), model.tokenizer, path, section)
        return OriginalTensors(model.tensors, origins)

    return load


def find_bert_differences(
    model: BertModel | WrappedModel, encoder: Encoder, pieces: Pieces, section: str
) -> Iterator[str]:
    """Where an encoder and its pieces are not as a published model wants them."""
    place = f"[{section}.encoder]"
    if isinstance(model, WrappedModel):
        place = f"[{section}.encoder.config]"
        own = describe_sizes(encoder.settings["config"])
        settings = describe_sizes(model.config)
    elif type(encoder) is model.family.encoder:
        own, settings = describe_bert(encoder), model.settings
    else:
        found, needed = type(encoder).__name__, model.family.encoder.__name__
        yield f"{place} has a {found} where a {needed} is needed"
        return
    yield from compare(own, settings, place)
    if not isinstance(pieces, SubwordPieces):
        yield f"[{section}.pieces] has {type(pieces).__name__} where SubwordPieces.v1 is needed"


def compare(own: Mapping[str, Any], wanted: Mapping[str, Any], place: str) -> Iterator[str]:
    """The settings that are not as wanted. place: the section of the config that has them."""
    for name, value in sorted(wanted.items()):
        if own.get(name) != value:
            yield f"{place} {name} is {own.get(name)}, the model has {value}"


def check_fit(path: str, kind: str, differences: Iterable[str]) -> None:
    """Raise E360 if there are differences. kind: "elmo" or "bert", as commands name it."""
    if listed := "; ".join(differences):
        raise ValueError(Errors.E360.format(path=path, differences=listed, kind=kind))
