"""The tensors of a Hugging Face checkpoint, and the parameters of an encoder: both ways."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...encoders import Encoder
from ...errors import Errors
from ..check_finite import check_finite
from .families_and_tensor_names import Family
from .read_weight_files import Stored, add_once, read_tensors, refuse_names
from .settings_from_config_json import Config

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

POSITIONS = "position_embedding.weight"


class Part(NamedTuple):
    """A tensor of a family that holds values of a parameter of ours, and its shape."""

    parameter: str
    name: str
    shape: tuple[int, ...]


def build_encoder(family: Family, settings: dict[str, Any]) -> Encoder:
    """An encoder without values. settings: of its builder."""
    with torch.device("meta"):
        return family.encoder(**settings)


def find_parts(tensors: Mapping[str, Tensor], family: Family, n_skipped: int) -> Iterator[Part]:
    """What a family's files hold of the parameters of an encoder. tensors: by parameter."""
    for parameter, tensor in tensors.items():
        names = translate(parameter, family)
        rows = len(tensor) // len(names) + (n_skipped if parameter == POSITIONS else 0)
        for name in names:
            yield Part(parameter, name, (rows, *tensor.shape[1:]))


def translate(parameter: str, family: Family) -> tuple[str, ...]:
    """The tensors of a family whose values, one above the other, are those of a parameter."""
    module, _, kind = parameter.rpartition(".")
    if not module.startswith("blocks."):
        return (f"{family.modules[module]}.{kind}",)
    _, block, part = module.split(".", 2)
    names = family.block_modules[part]
    return tuple(f"{family.block.format(block)}{name}.{kind}" for name in names)


def standardise(name: str, family: Family) -> str:
    """The name of a tensor without a prefix, and with those of norms as they are today."""
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name.removeprefix(family.prefix))
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def read_weights(folder: Path, config: Config) -> dict[str, Tensor]:
    """The values of an encoder's parameters, in fp32."""
    family = config.family
    found: dict[str, Stored] = {}
    for name, stored in read_tensors(folder).items():
        add_once(found, standardise(name, family), stored)
    parameters = build_encoder(family, config.settings).state_dict()
    parts = list(find_parts(parameters, family, config.n_skipped))
    check_names(found, parts, config, folder)
    values: dict[str, list[Tensor]] = {}
    for part in parts:
        value = check_values(found[part.name], part)
        if part.parameter == POSITIONS:
            value = value[config.n_skipped :]
        values.setdefault(part.parameter, []).append(value)
    return {name: v[0] if len(v) == 1 else torch.cat(v) for name, v in values.items()}


def check_names(
    found: Mapping[str, Stored], parts: list[Part], config: Config, folder: Path
) -> None:
    """Raise E335 for missing tensors, E337 for tensors that the family does not have."""
    names = {part.name for part in parts}
    missing = [part.name for part in parts if part.name not in found]
    refuse_names(Errors.E335, missing, path=folder)
    constants = dict(find_constants(config.family, config.settings))
    others = sorted(
        name
        for name, stored in found.items()
        if name not in names
        and not any(re.match(pattern, name) for pattern in config.family.ignored)
        and not (name in constants and torch.equal(stored.value.float(), constants[name]))
    )
    refuse_names(Errors.E337, others, path=folder, model_type=config.model_type)


def check_values(stored: Stored, part: Part) -> Tensor:
    """The tensor in fp32. Raises E307 for another shape or type, E309 for infinite values."""
    value, path = stored
    if value.shape != part.shape or value.dtype not in FLOATS:
        dtype = str(value.dtype).removeprefix("torch.")
        raise ValueError(
            Errors.E307.format(
                path=path,
                name=part.name,
                dtype=dtype,
                found=tuple(value.shape),
                expected=part.shape,
                hint="Take config.json and weights of one model.",
            )
        )
    check_finite(value := value.float(), name=part.name, path=str(path))
    return value


def find_constants(family: Family, settings: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Tensors that a family's files need although the encoder has no such step.

    They are zeros, or the identity, and change no result.
    """
    E = settings.get("embedding_width") or settings["width"]
    fields = family.config.model_fields
    if "n_segments" in fields and settings["n_segments"] == 0:
        yield f"{family.modules['segment_embedding']}.weight", torch.zeros(1, E)
    if "n_groups" in fields and settings["embedding_width"] is None:
        projection = family.modules["embedding_projection"]
        yield f"{projection}.weight", torch.eye(E)
        yield f"{projection}.bias", torch.zeros(E)


def to_tensors(
    parameters: Mapping[str, Tensor], family: Family, settings: dict[str, Any], n_skipped: int
) -> dict[str, Tensor]:
    """A family's tensors of the parameters of an encoder.

    settings: of the encoder. n_skipped: rows of the position table before the first piece's.
    """
    result = dict(find_constants(family, settings))
    parts: dict[str, list[str]] = {}
    for part in find_parts(parameters, family, n_skipped):
        parts.setdefault(part.parameter, []).append(part.name)
    for parameter, names in parts.items():
        value = parameters[parameter].detach().float().cpu()
        check_finite(value, name=parameter, path="the encoder")
        if parameter == POSITIONS:
            value = torch.cat([value.new_zeros(n_skipped, value.size(1)), value])
        result.update(zip(names, value.chunk(len(names)), strict=True))
    return {name: value.contiguous() for name, value in result.items()}
