"""Damage to weights of Hugging Face checkpoints: names, shapes, types, values, shards, headers."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .damage_json import ODD

Tensors = dict[str, Any]


def damage_tensors(folder: Path, rng: Random) -> str:
    """Change the weights in a folder; returns what was done."""
    path = next((p for p in sorted(folder.glob("*.safetensors"))), folder / "pytorch_model.bin")
    if not path.is_file():
        return "nothing: no weights"
    if path.suffix == ".safetensors" and rng.random() < 0.1:
        return damage_header(path, rng)
    try:
        is_safe = path.suffix == ".safetensors"
        tensors: Tensors = load_file(path) if is_safe else torch.load(path, weights_only=True)
    except Exception:
        return "nothing: cannot be read"
    if not tensors:
        return "nothing: no tensors"
    change = rng.choice(CHANGES)
    name = rng.choice(list(tensors))
    try:
        done = f"{name} {change(tensors, name, rng)}"
    except RuntimeError:
        return "nothing: PyTorch cannot do that to this type"
    write(tensors, path, rng)
    return f"{path.name}: {done}"


def write(tensors: Tensors, path: Path, rng: Random) -> None:
    """In the format of before, or in another one."""
    is_plain = all(isinstance(t, Tensor) and is_storable(t) for t in tensors.values())
    if path.suffix == ".safetensors" and is_plain and rng.random() < 0.7:
        plain = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        save_file(plain, path, metadata={"format": "pt"})
    elif tensors and path.suffix == ".safetensors" and is_plain and rng.random() < 0.5:
        split(tensors, path, rng)
    else:
        path.unlink()
        old = rng.random() < 0.2
        torch.save(
            tensors, path.parent / "pytorch_model.bin", _use_new_zipfile_serialization=not old
        )


def is_storable(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized


def split(tensors: Tensors, path: Path, rng: Random) -> None:
    """Two shards with an index, which may say something else than the shards."""
    path.unlink()
    shards: list[Tensors] = [{}, {}]
    names = [f"model-{i + 1:05}-of-00002.safetensors" for i in (0, 1)]
    index = {}
    for key, tensor in tensors.items():
        i = rng.randrange(2)
        shards[i][key] = tensor.contiguous().clone()
        index[key] = names[i]
    key = rng.choice(list(index))
    fault = rng.choice(["none", "both", "other", "extra", "missing", "path"])
    if fault == "both":
        for shard in shards:
            value = tensors[key]  # not every type can be multiplied
            shard[key] = (value.float() * rng.choice([1, 2])).to(value.dtype)
    elif fault == "other":
        index[key] = names[1 - names.index(index[key])]
    elif fault == "extra":
        shards[0]["stray"] = torch.ones(3)
    elif fault == "missing":
        del index[key]
    elif fault == "path":
        index[key] = rng.choice(["../model.safetensors", "/etc/passwd", "", ".", "config.json"])
    for shard, name in zip(shards, names, strict=True):
        save_file(shard, path.parent / name, metadata={"format": "pt"})
    text = json.dumps({"metadata": {"total_size": 1}, "weight_map": index})
    (path.parent / "model.safetensors.index.json").write_text(text)


def damage_header(path: Path, rng: Random) -> str:
    """One number or word of the header of a file of safetensors."""
    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + n])
    except ValueError:  # damaged before
        return "nothing: no header"
    entries = [value for value in header.values() if isinstance(value, dict) and "shape" in value]
    if not entries:
        return "nothing: no tensors"
    entry = rng.choice(entries)
    key = rng.choice(["dtype", "shape", "data_offsets"])
    choices: list[Any] = [*ODD, "F64", "I64", "BOOL", "F8_E4M3", [2**40, 2**40], [0, 2**62], [0, 0]]
    entry[key] = rng.choice(choices)
    text = json.dumps(header).encode("utf8", "surrogatepass")
    length = rng.choice([len(text), len(text), len(text), 2**63, 0])
    path.write_bytes(length.to_bytes(8, "little") + text + data[8 + n :])
    return f"{path.name}: header {key} {str(entry[key])[:40]}"


def rename(tensors: Tensors, name: str, rng: Random) -> str:
    new = rng.choice([f"x.{name}", name.upper(), name.replace("0", "9"), f"{name}.x", "", "bert."])
    tensors[new] = tensors.pop(name)
    return f"renamed to {new}"


def remove(tensors: Tensors, name: str, rng: Random) -> str:
    del tensors[name]
    return "removed"


def add(tensors: Tensors, name: str, rng: Random) -> str:
    new = rng.choice([f"model.{name}", f"bert.{name}", f"{name}_2", "lora_A.weight"])
    tensors[new] = tensors[name].clone() * rng.choice([1, 2])
    return f"also as {new}"


def reshape(tensors: Tensors, name: str, rng: Random) -> str:
    t = tensors[name]
    shapes = [t[None], t.flatten(), t[..., :-1], t.repeat([2] * t.dim()), t[:0], t.sum(), t.T]
    tensors[name] = rng.choice(shapes)
    return f"of shape {tuple(tensors[name].shape)}"


def retype(tensors: Tensors, name: str, rng: Random) -> str:
    kinds = ["float16", "bfloat16", "float64", "int64", "int8", "uint8", "bool", "complex64"]
    kind = rng.choice([*kinds, "float8_e4m3fn"])
    chosen = list(tensors) if rng.random() < 0.3 else [name]
    for key in chosen:
        tensors[key] = tensors[key].to(getattr(torch, kind))
    return f"as {kind}"


def spoil(tensors: Tensors, name: str, rng: Random) -> str:
    value = rng.choice([float("nan"), float("inf"), -3e38, 1e20, 1e30, 0.0, 1e-40])
    t = tensors[name].clone().float()
    flat = t.view(-1)
    n = rng.choice([1, len(flat)])
    flat[rng.randrange(len(flat)) :][:n] = value
    tensors[name] = t
    return f"with {n} values {value}"


def make_odd(tensors: Tensors, name: str, rng: Random) -> str:
    """Something else than a plain tensor."""
    t = tensors[name].float()
    kinds: dict[str, Callable[[], Any]] = {
        "sparse": lambda: t.to_sparse(),
        "meta": lambda: t.to("meta"),
        "quantized": lambda: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        "parameter": lambda: torch.nn.Parameter(t),
        "view": lambda: torch.as_strided(t.flatten()[:1], t.shape, [0] * t.dim()),
        "list": lambda: t.tolist(),
        "text": lambda: "x",
        "object": lambda: rng,
        "dict": lambda: {"a": t},
    }
    kind = rng.choice(list(kinds))
    tensors[name] = kinds[kind]()
    return f"now {kind}"


CHANGES: list[Callable[[Tensors, str, Random], str]] = [
    *(rename, remove, add, reshape, reshape, retype, retype, spoil, spoil, make_odd),
]
