"""The weights that `pretrained` names, and the models that they are for.

Those of DEFAULT are in the folder of this name. weights.safetensors: the encoder's parameters, 8
bits each, see store_in_eight_bits.py. tokenizer.json: the vocabulary. README.md: the model card.
Those of MINILM come from another package, see minilm_from_pip.py.
"""

import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import Tensor

from ..default_model import DEFAULT_MODEL
from ..encoders import Encoder
from ..encoders.bert_transformer import TransformerEncoder
from ..errors import Errors
from ..pieces.base import Pieces
from ..pieces.registered_vocabulary_loaders import load_vocabulary as take
from ..pieces.subwords import SubwordPieces
from ..read_files import read_tensors, reading
from ..torch_state import in_ordinary_torch
from . import minilm_from_pip
from .store_in_eight_bits import unpack

#: Taken where a config does not choose: a small Transformer that has learned from MINILM.
DEFAULT = "en_transformer_sm"

#: Those of a package that the extra of this name installs.
MINILM = "minilm"

#: The model that weights are for, as a section of a config.
MODELS: dict[str, dict[str, Any]] = {DEFAULT: DEFAULT_MODEL, MINILM: minilm_from_pip.MODEL}

#: How they make a vector of a text: doc_pooling and normalize.
TEXT_VECTORS: dict[str, tuple[str, bool]] = {MINILM: ("mean", True)}

#: In a config: DEFAULT, where the model is the one that it is for.
AUTO = "auto"

#: Weights that shipped once. A pipeline that was saved with them has its own, and can be loaded.
FORMER = ("en_bilm_sm",)

#: Where the files of DEFAULT are.
FOLDER = Path(__file__).parent / DEFAULT

WEIGHTS, VOCABULARY = "weights.safetensors", "tokenizer.json"

#: What to do about a file that is lost or damaged.
INSTALL = "Install spacy-ctxemb again."


def get_model(name: str) -> dict[str, Any]:
    """The model that weights are for: a new one each time, for it becomes part of the config of a
    pipeline. Raises E011 for a name that there is not."""
    if name not in MODELS:
        raise ValueError(Errors.E011.format(name=name, names=sorted(MODELS)))
    return deepcopy(MODELS[name])


def is_published(name: str | None) -> bool:
    """Whether `pretrained` names no weights of the package, but a path or OWNER/NAME on the hub."""
    return name is not None and ("/" in name or os.sep in name)


def get_language(name: str) -> str:
    """The language of some weights, with which their name begins, as those of pipelines do."""
    return name.partition("_")[0]


def fits(name: str, encoder: Encoder) -> bool:
    """Whether weights are for an encoder. Raises E011 for a name that there is not."""
    settings = {n: value for n, value in get_model(name)["encoder"].items() if n[0] != "@"}
    return type(encoder) is TransformerEncoder and encoder.settings == settings


def check_fit(name: str, encoder: Encoder, component: str) -> None:
    """Raise E012 if the weights are not for the encoder, E011 for a name that there is not.

    component: its name in the message.
    """
    if not fits(name, encoder):
        model = json.dumps(get_model(name)["encoder"])
        raise ValueError(Errors.E012.format(name=name, component=component, model=model))


@in_ordinary_torch
def load_weights(name: str) -> dict[str, Tensor]:
    """The parameters by name, in fp32 and in memory that nobody else has.

    Raises E011 for a name that there is not, E163 where their file is lost or damaged; for MINILM
    E014 or E015 too.
    """
    encoder = get_model(name)["encoder"]
    if name == MINILM:
        return minilm_from_pip.load_weights(encoder)
    return unpack(read_tensors(FOLDER / WEIGHTS, "weights of the package", advice=INSTALL))


def load_vocabulary(name: str, pieces: Pieces) -> None:
    """Give pieces the vocabulary that weights are for, where these are for subwords.

    Raises E135 if the pieces have another one, and as `load_weights` does.
    """
    if not isinstance(pieces, SubwordPieces):
        return
    if name == MINILM:
        take(pieces, minilm_from_pip.load_tokenizer(), name, "model")
        return
    path = FOLDER / VOCABULARY
    with reading(path, "a vocabulary of the package", advice=INSTALL):
        vocabulary = path.read_text(encoding="utf8")
        json.loads(vocabulary)  # the library's own messages name no file
    take(pieces, vocabulary, str(path), "model")
