"""The files of a Hugging Face checkpoint: where weights lie, and what is in them."""

import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from ...errors import Errors
from ..read_json import read_json

#: In the order in which they are looked for; an index stands for files it names.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
#: How a file begins that Git LFS puts in the place of another.
LFS_POINTER = b"version https://git-lfs"
FOREIGN_WEIGHTS = ("tf_model.h5", "flax_model.msgpack", "model.onnx", "model.gguf")


class Stored(NamedTuple):
    """A tensor of a checkpoint, and the file that holds it."""

    value: Tensor
    path: Path


def check_folder(path: Path) -> None:
    """Raise E330 unless there is a folder with a config.json."""
    reason = None
    if re.match("https?:/", str(path)):
        reason = "is an address; download its files"
    elif path.is_file():
        reason = "is a file"
    elif not path.is_dir():
        reason = "is not there (a name on the Hugging Face Hub is no path; download its files)"
    elif not (path / "config.json").is_file():
        reason = "has no config.json"
    if reason:
        name = re.sub("^(https?):/+", r"\1://", str(path))  # as it was before it was a Path
        raise ValueError(Errors.E330.format(path=name, reason=reason))


def read_tensors(folder: Path) -> dict[str, Stored]:
    """All tensors of a checkpoint by their names, mapped from their files where possible."""
    found: dict[str, Stored] = {}
    for path in find_weights(folder):
        load = load_safetensors if path.suffix == ".safetensors" else load_pickle
        found.update((name, Stored(value, path)) for name, value in load(path).items())
    return found


def find_weights(folder: Path) -> list[Path]:
    """The files of weights. Raises E334 if there are none, E343 if some of them are missing."""
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        others = [name for name in FOREIGN_WEIGHTS if (folder / name).is_file()]
        hint = f" Weights in {', '.join(others)} are not read." if others else ""
        raise ValueError(Errors.E334.format(path=folder, names=", ".join(WEIGHTS), hint=hint))
    if path.suffix != ".json":
        return [path]
    shards = list(dict.fromkeys(list_shards(path)))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        listed = ", ".join(missing[:3])
        raise ValueError(Errors.E343.format(path=path, names=listed, n=len(missing)))
    return [folder / name for name in shards]


def list_shards(path: Path) -> Iterator[str]:
    """The files that an index names. Raises E331 for what is no name in its own folder."""
    names = read_json(path).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ValueError(Errors.E331.format(path=path, reason="it has no weight_map"))
    for name in names.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(Errors.E331.format(path=path, reason=f"{name!r} is no file's name"))
        yield name


def load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise_unreadable(path, "safetensors", error)
    return tensors


def load_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of torch.save. Only tensors and containers are unpickled.

    Raises E342 for other objects, E341 for contents of another kind, E339 for a damaged file,
    E340 for a pointer of Git LFS.
    """
    try:
        data: Any = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except pickle.UnpicklingError as error:
        refused = re.search(r"Unsupported (?:global|class)\W*(?:GLOBAL )?(.*?) was not", str(error))
        # The name of an object has a module; where a file was cut or changed, there are others.
        if refused and re.fullmatch(r"\w+(\.\w+)+", refused[1]):
            raise ValueError(Errors.E342.format(path=path, found=refused[1])) from error
        raise_unreadable(path, "PyTorch", ValueError("it is no file of torch.save"))
    except Exception as error:  # a damaged pickle lets its reader fail in any way
        raise_unreadable(path, "PyTorch", error)
    if not isinstance(data, dict) or not all(isinstance(v, Tensor) for v in data.values()):
        found = f"a {type(data).__name__}"
        if isinstance(data, dict):
            found += f" with the keys {', '.join(map(str, list(data)[:5]))}"
        raise ValueError(Errors.E341.format(path=path, found=found))
    return {str(name): value for name, value in data.items()}


def raise_unreadable(path: Path, kind: str, error: Exception) -> NoReturn:
    with path.open("rb") as file:
        is_pointer = file.read(len(LFS_POINTER)) == LFS_POINTER
    if is_pointer:
        raise ValueError(Errors.E340.format(path=path)) from error
    reason = str(error).split("\n")[0][:200] or type(error).__name__
    raise ValueError(Errors.E339.format(path=path, kind=kind, reason=reason)) from error
