"""The weights that ship with the package, one folder each.

weights.safetensors: the encoder's parameters, 16 bits each. model.json: the model of the component
they are for, as in a config. README.md: the model card: data, licence, recipe, results, limits.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..encoders import BiLM, Encoder
from ..errors import Errors
from ..torch_state import in_ordinary_torch

ROOT = Path(__file__).parent

WEIGHTS, MODEL = "weights.safetensors", "model.json"

#: Taken where a config does not choose.
DEFAULT = "en_bilm_sm"

#: Settings of a BiLM that decide its vectors, and that no shape of its weights tells.
WITHOUT_SHAPE = (
    *("max_characters", "activation", "skip_connections"),
    *("cell_clip", "projection_clip"),
)

#: In a config: DEFAULT, where the model is the one that it is for.
AUTO = "auto"


def list_names() -> list[str]:
    """The names of all weights that ship."""
    return sorted(path.parent.name for path in ROOT.glob(f"*/{WEIGHTS}"))


def get_language(name: str) -> str:
    """The language of some weights, with which their name begins, as those of pipelines do."""
    return name.partition("_")[0]


def find_folder(name: str) -> Path:
    """The folder of some weights."""
    if name not in list_names():
        raise ValueError(Errors.E011.format(name=name, names=list_names()))
    return ROOT / name


@cache
def read_model(name: str) -> dict[str, Any]:
    """The model that weights are for, as a section of a config."""
    model: dict[str, Any] = json.loads((find_folder(name) / MODEL).read_text("utf8"))
    return model


@cache
def read_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of weights, from the head of their file."""
    with (find_folder(name) / WEIGHTS).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(size))
    return {n: tuple(found["shape"]) for n, found in head.items() if n != "__metadata__"}


@in_ordinary_torch
def fits(name: str, encoder: Encoder) -> bool:
    """Whether weights are for an encoder: of these shapes, and of these settings besides."""
    settings = read_model(name)["encoder"]
    return (
        isinstance(encoder, BiLM)
        and read_shapes(name) == {n: tuple(t.shape) for n, t in encoder.state_dict().items()}
        and all(encoder.settings[key] == settings[key] for key in WITHOUT_SHAPE)
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
    """The parameters by name, in fp32."""
    tensors = load_file(find_folder(name) / WEIGHTS)
    return {n: tensor.to(torch.float32) for n, tensor in tensors.items()}
