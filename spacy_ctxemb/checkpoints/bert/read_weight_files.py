"""The files of a Hugging Face checkpoint: where weights lie, and what is in them."""

import re
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from torch import Tensor

from ...errors import Errors
from ...read_files import coding_errors
from ...remote.find_model import hide_secrets
from ..read_json import Typed, check_pointer, read_typed
from .merge_adapter import ADAPTERS, CONFIG, merge_adapter
from .read_pickle import load_pickle

#: In the order in which they are looked for; an index stands for files it names.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
FOREIGN_WEIGHTS = ("tf_model.h5", "flax_model.msgpack", "model.onnx", "model.gguf")


class Stored(NamedTuple):
    """A tensor of a checkpoint, and the file that holds it."""

    value: Tensor
    path: Path


class Index(Typed):
    """What tells in which file each tensor lies."""

    weight_map: dict[str, str] = {}


def check_folder(path: Path) -> None:
    """Raise E330 unless there is a folder with a config.json, E350 for half an adapter."""
    reason = None
    if re.match("https?:/", str(path)):
        reason = "is an address; download its files"
    elif path.is_file():
        reason = "is a file"
    elif not path.is_dir():
        reason = "is not there"
    elif not (path / "config.json").is_file():
        reason = "has no config.json"
    if reason:
        name = re.sub("^(https?):/+", r"\1://", str(path))  # as it was before it was a Path
        raise ValueError(Errors.E330.format(path=hide_secrets(name), reason=reason))
    found = [name for name in ADAPTERS if (path / name).is_file()]
    if bool(found) != (path / CONFIG).is_file():
        names = {"found": (found or [CONFIG])[0], "lost": CONFIG if found else ADAPTERS[0]}
        raise ValueError(Errors.E350.format(path=path, **names))


def read_tensors(folder: Path) -> dict[str, Stored]:
    """All tensors of a checkpoint by their names, mapped from their files where possible.

    An adapter beside them is merged. Raises E343 for an index that names a tensor where it is not,
    E351 for a tensor in two files, E390 to E394 for an adapter that cannot be merged.
    """
    path, index = find_weights(folder)
    found: dict[str, Stored] = {}
    for name in sorted(set(index.values())) or [path.name]:
        for tensor, value in load_file(folder / name).items():
            add_once(found, tensor, Stored(value, folder / name))
    lost = [n for n, shard in index.items() if n not in found or found[n].path.name != shard]
    refuse_names(Errors.E343, lost, path=path)
    adapter = next((folder / name for name in ADAPTERS if (folder / name).is_file()), None)
    if adapter is not None:
        tensors = {name: stored.value for name, stored in found.items()}
        merged = merge_adapter(folder, tensors, load_file(adapter))
        found |= {name: Stored(value, adapter) for name, value in merged.items()}
    return found


def load_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by how its name ends."""
    return (load_safetensors if path.suffix == ".safetensors" else load_pickle)(path)


def find_weights(folder: Path) -> tuple[Path, dict[str, str]]:
    """The file of weights; or the index, and the file of each tensor.

    Raises E334 if there is neither, E331 for an index that names no file in its own folder, E343
    for a file that is missing.
    """
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        others = [name for name in FOREIGN_WEIGHTS if (folder / name).is_file()]
        hint = f" Weights in {', '.join(others)} are not read." if others else ""
        raise ValueError(Errors.E334.format(path=folder, names=", ".join(WEIGHTS), hint=hint))
    if path.suffix != ".json":
        return path, {}
    index = read_typed(path, Index).weight_map
    if not index:
        raise ValueError(Errors.E331.format(path=path, reason="it has no weight_map"))
    names = sorted(set(index.values()))
    for name in names:
        if PureWindowsPath(name).name != name or not name.endswith((".safetensors", ".bin")):
            raise ValueError(Errors.E331.format(path=path, reason=f"{name!r} is no file's name"))
    lost = [name for name in names if not (folder / name).is_file()]
    refuse_names(Errors.E343, lost, path=path)
    return path, index


def refuse_names(message: str, names: list[str], **values: object) -> None:
    """Raise ValueError if there are names; `message` shows three of them, and their number."""
    if names:
        raise ValueError(message.format(names=", ".join(names[:3]), n=len(names), **values))


def add_once(found: dict[str, Stored], name: str, stored: Stored) -> None:
    """Put a tensor under its name. Raises E351 if there is one."""
    if name in found:
        first, second = found[name].path, stored.path
        raise ValueError(Errors.E351.format(name=name, first=first, second=second))
    found[name] = stored


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file. Raises E339 for a damaged one, E340 for a pointer of Git LFS."""
    from safetensors.torch import load_file

    with coding_errors(Errors.E339, path=path, kind="safetensors"):
        check_pointer(path)
        tensors: dict[str, Tensor] = load_file(path)
    return tensors
