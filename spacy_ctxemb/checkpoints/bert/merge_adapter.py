"""LoRA adapters in the format of the package peft, merged into the weights that they are for.

W + s B A, where s is alpha / r, or alpha / sqrt(r) with use_rslora.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1;
Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA".
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from ...errors import Errors
from ..read_json import Size, Switch, Typed, check_types, expect, read_json, shorten
from .families_and_tensor_names import FAMILIES, Family

CONFIG = "adapter_config.json"
#: The first that there is.
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")

#: Settings that say which layers have an adapter, which its tensors show, or how it was trained.
HARMLESS = {
    *("auto_mapping", "base_model_name_or_path", "bias", "exclude_modules", "inference_mode"),
    *("layers_pattern", "layers_to_transform", "lora_dropout", "peft_type", "peft_version"),
    *("qalora_group_size", "revision", "target_modules", "task_type", "megatron_core"),
    *("runtime_config", "eva_config", "ensure_weight_tying", "modules_to_save"),
}
#: How A and B began. Other ways change the weights below too, so that merging gives others.
BEGINNINGS = (True, False, None, "gaussian", "orthogonal", "eva")

#: Before the name of a tensor, where there is a head beside the encoder or none.
PREFIXES = tuple({family.prefix for family in FAMILIES.values()})

LORA = re.compile(r"(?P<module>.+)\.lora_(embedding_)?(?P<part>[AB])(\.weight)?")

#: What may stand for names of modules. Other regular expressions of a file might never end.
PATTERN = re.compile(r"(?:[\w.|^$-]|\\\.)*")

Number = Annotated[float, expect("a number")]


class AdapterConfig(Typed):
    """What adapter_config.json says of the numbers; the defaults are peft's."""

    r: Size = 8
    lora_alpha: Number = 8
    use_rslora: Switch = False
    rank_pattern: Annotated[dict[str, int] | None, expect("an object of whole numbers")] = None
    alpha_pattern: Annotated[dict[str, Number] | None, expect("an object of numbers")] = None
    fan_in_fan_out: Switch = False
    modules_to_save: Annotated[list[str] | None, expect("a list of names, or null")] = None
    init_lora_weights: Any = True


def read_adapter_config(path: Path) -> AdapterConfig:
    """Read adapter_config.json.

    Raises E390 for an adapter that is no LoRA, E391 for a setting that would change the numbers
    and for a pattern that is more than names, E331 or E333 for a file that is damaged.
    """
    data = read_json(path)
    kind = data.get("peft_type")
    if kind != "LORA":
        raise ValueError(Errors.E390.format(path=path, found=shorten(kind)))
    config = check_types(data, AdapterConfig, path=path)
    for key, value in data.items():
        is_known = key in HARMLESS or key in AdapterConfig.model_fields
        begins_elsewhere = key == "init_lora_weights" and value not in BEGINNINGS
        if begins_elsewhere or (not is_known and value not in (None, False, [], {})):
            raise ValueError(Errors.E391.format(path=path, key=key, found=shorten(value)))
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, key) or {}:
            if not PATTERN.fullmatch(pattern):
                raise ValueError(Errors.E391.format(path=path, key=key, found=shorten(pattern)))
    return config


def merge_adapter(
    folder: Path, tensors: Mapping[str, Tensor], adapter: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors of a model that an adapter changes or adds, by their names in the model.

    folder: of the adapter. tensors: of the model. adapter: of the adapter's file.
    Raises what read_adapter_config raises, E393 for tensors that belong nowhere, E394 for those
    that do not fit.
    """
    config = read_adapter_config(folder / CONFIG)
    family = find_family(folder)
    # As in peft, which knows that BERT's family has no layers that are transposed.
    is_transposed = config.fan_in_fan_out and family is None
    names = {normalise(name): name for name in tensors}
    pairs: dict[str, dict[str, Tensor]] = {}
    merged: dict[str, Tensor] = {}
    unknown = []
    for full, value in adapter.items():
        name = full.removeprefix("base_model.model.").replace(".base_layer.", ".")
        own = names.get(normalise(name))
        if match := LORA.fullmatch(name):
            pairs.setdefault(match["module"], {})[match["part"]] = value
        elif own is not None:
            check_shape(folder, full, value, tensors[own].shape)
            merged[own] = value
        elif is_saved(name, config):
            merged[name] = value
        else:
            unknown.append(name)
    for module, pair in pairs.items():
        own = names.get(normalise(f"{module}.weight"))
        if own is None or len(pair) < 2:
            unknown.append(f"{module}.lora_{'/'.join(sorted(pair))}")
            continue
        delta = compute_delta(module, pair, config, folder)
        if is_transposed or f"base_model.model.{module}.lora_embedding_A" in adapter:
            delta = delta.T
        check_shape(folder, module, delta, tensors[own].shape)
        merged[own] = merged.get(own, tensors[own]).float() + delta
    patterns = (r"pooler\.",) if family is None else family.ignored
    names_left = [n for n in unknown if not any(re.match(p, normalise(n)) for p in patterns)]
    if names_left:
        shown = ", ".join(sorted(names_left)[:3])
        raise ValueError(Errors.E393.format(path=folder, names=shown, n=len(names_left)))
    return merged


def compute_delta(
    module: str, pair: Mapping[str, Tensor], config: AdapterConfig, folder: Path
) -> Tensor:
    """s B A. Raises E394 where the rank is another one than adapter_config.json says."""
    A, B = pair["A"].float(), pair["B"].float()  # (r, D_in), (D_out, r)
    r = choose(config.rank_pattern, module, config.r)
    alpha = choose(config.alpha_pattern, module, config.lora_alpha)
    check_shape(folder, f"{module}.lora_A", A, (r, *A.shape[1:]))
    check_shape(folder, f"{module}.lora_B", B, (*B.shape[:1], r))
    return B @ A * (alpha / (math.sqrt(r) if config.use_rslora else r))


def choose(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first pattern that the end of a module's name matches, as in peft."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def check_shape(folder: Path, name: str, value: Tensor, expected: tuple[int, ...]) -> None:
    if value.shape != torch.Size(expected) or value.ndim > 2 and "lora" in name:
        found = tuple(value.shape)
        raise ValueError(
            Errors.E394.format(path=folder, name=name, found=found, expected=tuple(expected))
        )


def is_saved(name: str, config: AdapterConfig) -> bool:
    """Whether a tensor is part of a layer that was trained as a whole, such as a head."""
    return any(f".{module}." in f".{name}" for module in config.modules_to_save or [])


def find_family(folder: Path) -> Family | None:
    """The family of a model that this package has encoders for."""
    path = folder / "config.json"
    model_type = read_json(path).get("model_type") if path.is_file() else None
    return FAMILIES.get(model_type) if isinstance(model_type, str) else None


def normalise(name: str) -> str:
    """The name of a tensor without the prefix of an encoder, and as it is today."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
