"""Writing JSON and tensors whole or not at all, with a message where the disk is full."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..atomic_files import replacing


def write_json(data: object, path: Path) -> None:
    """Write a JSON file. Raises E164."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf8")


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a file of safetensors. Raises E164."""
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:  # has the system's error as text alone
            raise OSError(str(error)) from error
