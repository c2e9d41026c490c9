"""Weights in a pickle of torch.save, of which nothing but tensors is read."""

import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ...errors import Errors
from ...read_files import coding_errors
from ..read_json import check_pointer

#: How many times as large as its file the tensors of a pickle may be: some share their numbers.
MOST_SHARING = 4

#: Pickles at the beginning of a file of torch.save, and names in them: any, and parts of tensors.
MOST_PICKLES = 5
NAME = r"[A-Za-z_]\w*(\.\w+)+"
HARMLESS = (
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_\w+"
    r"|torch\.(\w+Storage|Size|device|b?float\w*|u?int\d+|bool|complex\d+)"
    r"|torch\.storage\.\w+|torch\.nn\.parameter\.Parameter"
)


def load_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of torch.save. Only tensors and containers are unpickled.

    Raises E342 for other objects, E341 for contents of another kind, E339 for a damaged file,
    E340 for a pointer of Git LFS.
    """
    with coding_errors(Errors.E339, path=path, kind="PyTorch"):
        check_pointer(path)
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            check_archive(path)
        try:
            data: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
        except Exception as error:  # a damaged pickle lets its reader fail in any way
            if name := find_object(path):
                raise ValueError(Errors.E342.format(path=path, found=name)) from error
            if isinstance(error, pickle.UnpicklingError):  # whose message tells how to trust it
                raise ValueError("it is no file of torch.save") from error
            raise
    if not isinstance(data, dict) or not all(map(is_plain, data.values())):
        raise ValueError(Errors.E341.format(path=path, found=describe(data)))
    tensors = {str(name): value.detach() for name, value in data.items()}
    claimed, n_bytes = sum(value.nbytes for value in tensors.values()), path.stat().st_size
    if claimed > MOST_SHARING * n_bytes:
        raise ValueError(Errors.E354.format(path=path, claimed=claimed, n_bytes=n_bytes))
    return tensors


def check_archive(path: Path) -> None:
    """Raise ValueError for a ZIP file that is to be unpacked: torch.save only stores."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed, and would be unpacked to any size; torch.save stores")


def is_plain(value: object) -> bool:
    """Whether a value is a tensor whose numbers lie in memory one by one."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_nested or value.is_neg() or value.is_conj())
    )


def describe(data: object) -> str:
    """What a pickle holds that are no tensors by their names."""
    if not isinstance(data, dict):
        return f"a {type(data).__name__}"
    odd = [n for n, v in data.items() if isinstance(v, Tensor) and not is_plain(v)]
    if odd:
        value = data[odd[0]]
        return f"{odd[0]}, a {value.layout} tensor of {value.dtype} on {value.device}"
    return f"a dict with the keys {', '.join(map(str, list(data)[:5]))}"


def find_object(path: Path) -> str | None:
    """The first object that a file of pickles would import and that is no part of a tensor."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            with archive.open(names[0]) as member:
                return next(find_objects(member), None)
    except Exception:  # it is no ZIP file, or a damaged one
        with path.open("rb") as file:
            return next(find_objects(file), None)


def find_objects(file: IO[bytes]) -> Iterator[str]:
    """Names of what pickles import. Their code is read, not run."""
    try:
        for _ in range(MOST_PICKLES):
            strings: list[str] = []
            for operation, argument, _ in pickletools.genops(file):
                if operation.name in ("GLOBAL", "INST"):
                    strings = str(argument).split(" ", 1)
                elif isinstance(argument, str):
                    strings = [*strings[-1:], argument]
                if operation.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
                    name = ".".join(strings)
                    if re.fullmatch(NAME, name) and not re.fullmatch(HARMLESS, name):
                        yield name
    except Exception:  # what is no more a pickle
        return
