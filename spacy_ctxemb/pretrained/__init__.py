"""The weights that `pretrained` names, one folder each.

weights.safetensors: the encoder's parameters, 16 bits each, or 8, see eight_bits.py.
tokenizer.json: the vocabulary, where there is one. model.json: the model of the component they are
for, as in a config. README.md: the model card: data, licence, recipe, results, limits.
The folder of MINILM has neither weights nor vocabulary: these come from another package, see
minilm_from_pip.py.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from ..encoders import BiLM, Encoder
from ..encoders.bert_transformer import TransformerEncoder
from ..errors import Errors
from ..pieces.base import Pieces
from ..pieces.subwords import SubwordPieces
from ..read_files import read_tensors, reading
from ..torch_state import in_ordinary_torch
from . import minilm_from_pip
from .eight_bits import unpack

ROOT = Path(__file__).parent

WEIGHTS, VOCABULARY, MODEL = "weights.safetensors", "tokenizer.json", "model.json"

#: What to do about a file that is lost or damaged.
INSTALL = "Install spacy-ctxemb again."

#: Taken where a config does not choose.
DEFAULT = "en_bilm_sm"

#: A small Transformer that has learned from MINILM.
TRANSFORMER = "en_transformer_sm"

#: Those of a package that the extra of this name installs.
MINILM = "minilm"

#: What brings its model along, in the place of the default one.
WITH_MODEL = (TRANSFORMER, MINILM)

#: How they make a vector of a text: doc_pooling and normalize.
TEXT_VECTORS: dict[str | None, tuple[str, bool]] = {MINILM: ("mean", True)}

#: Settings of a BiLM that decide its vectors, and that no shape of its weights tells.
WITHOUT_SHAPE = (
    *("max_characters", "activation", "skip_connections"),
    *("cell_clip", "projection_clip"),
)

#: In a config: DEFAULT, where the model is the one that it is for.
AUTO = "auto"


def list_names() -> list[str]:
    """The names of all weights that ship."""
    return sorted({path.parent.name for path in ROOT.glob("[a-z]*/*")})


def get_language(name: str) -> str:
    """The language of some weights, with which their name begins, as those of pipelines do."""
    return name.partition("_")[0]


def find_folder(name: str) -> Path:
    """The folder of some weights. Raises E011 for a name that there is not."""
    if name not in list_names():
        raise ValueError(Errors.E011.format(name=name, names=list_names()))
    return ROOT / name


def read_model(name: str) -> dict[str, Any]:
    """The model that weights are for, as a section of a config: a new one each time, which becomes
    part of the config of a pipeline."""
    path = find_folder(name) / MODEL
    with reading(path, "a model of the package", advice=INSTALL):
        model: dict[str, Any] = json.loads(path.read_text("utf8"))
    return model


@cache
def read_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of weights, from the head of their file."""
    path = find_folder(name) / WEIGHTS
    with (
        reading(path, "weights of the package", advice=INSTALL),
        safe_open(path, framework="pt") as file,
    ):
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}


@in_ordinary_torch
def fits(name: str, encoder: Encoder) -> bool:
    """Whether weights are for an encoder: of these shapes, and of these settings besides."""
    if not isinstance(encoder, TransformerEncoder if name in WITH_MODEL else BiLM):
        return False  # before a file is read
    settings = read_model(name)["encoder"]
    if name in WITH_MODEL:
        from ..checkpoints.bert.config_json import describe

        return describe(encoder) == {n: value for n, value in settings.items() if n[0] != "@"}
    shapes = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    return read_shapes(name) == shapes and all(
        encoder.settings[key] == settings[key] for key in WITHOUT_SHAPE
    )


def check_fit(name: str, encoder: Encoder, component: str) -> None:
    """Raise E012 if the weights are not for the encoder.

    component: its name in the message.
    """
    if not fits(name, encoder):
        model = json.dumps(read_model(name)["encoder"])
        raise ValueError(Errors.E012.format(name=name, component=component, model=model))


@in_ordinary_torch
def load_weights(name: str) -> dict[str, Tensor]:
    """The parameters by name, in fp32.

    Raises E163 where their file is lost or damaged; for MINILM E014 or E015 too.
    """
    if name == MINILM:
        return minilm_from_pip.load_weights(read_model(name)["encoder"])
    tensors = read_tensors(find_folder(name) / WEIGHTS, "weights of the package", advice=INSTALL)
    return unpack(tensors)


def load_vocabulary(name: str, pieces: Pieces) -> None:
    """Give pieces the vocabulary that weights are for, where these are for subwords.

    Raises E135 if the pieces have another one, and as `load_weights` does.
    """
    if name not in WITH_MODEL or not isinstance(pieces, SubwordPieces):
        return
    from ..checkpoints.registered_checkpoint_loaders import load_vocabulary as load

    if name == MINILM:
        vocabulary = minilm_from_pip.load_tokenizer(pieces.n_ids)
    else:
        path = find_folder(name) / VOCABULARY
        with reading(path, "a vocabulary of the package", advice=INSTALL):
            vocabulary = path.read_text(encoding="utf8")
    load(pieces, vocabulary, name, "model")
