"""The files of a component's encoders: `pieces` and `encoder.safetensors` in its folder, or in a
folder for each encoder of a Stack."""

from pathlib import Path

import safetensors.torch
import srsly

from ..atomic_files import replacing_folder
from ..read_files import read_bytes, read_tensors, reading
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import EmbedderShim, get_shim
from ..torch_state import in_ordinary_torch
from .join_members import find_mix
from .stack import get_members, is_encoder

#: The files of an encoder.
PIECES, WEIGHTS = "pieces", "encoder.safetensors"

#: The weighted sum of a Stack.
MIX = "mix.safetensors"


def to_disk(model: ContextualModel, path: Path) -> None:
    """Write the encoders of a component, which have no limit of size: all of them, or nothing."""
    with replacing_folder(path, may_exist=True) as folder:
        for name, member in get_members(model).items():
            if is_encoder(member):
                write_encoder(get_shim(member), folder / name)
            else:
                (folder / f"{name}.bin").write_bytes(member.to_bytes())
        shim = find_mix(model)
        if shim is not None:
            (folder / MIX).write_bytes(shim.to_bytes())
        if path.is_file() and not path.is_symlink():
            path.unlink()  # of another component of that name: spaCy's have a file there


def from_disk(model: ContextualModel, path: Path) -> None:
    """Read what `to_disk` has written. Raises E163 for a file that is lost or damaged."""
    for name, member in get_members(model).items():
        file = path / f"{name}.bin"
        if is_encoder(member):
            read_encoder(get_shim(member), path / name)
            continue
        with reading(file, f"the member '{name}' of a Stack"):
            member.from_bytes(read_bytes(file))
    shim = find_mix(model)
    if shim is not None:
        with reading(path / MIX, f"the mix of a Stack of {list(get_members(model))}"):
            shim.from_bytes(read_bytes(path / MIX))


@in_ordinary_torch
def write_encoder(shim: EmbedderShim, path: Path) -> None:
    """Without weights a file without tensors: one that is not there was lost."""
    path.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(shim.get_tensors(), path / WEIGHTS)
    (path / PIECES).write_bytes(srsly.msgpack_dumps(shim.pieces.to_json()))


@in_ordinary_torch
def read_encoder(shim: EmbedderShim, path: Path) -> None:
    """Raises E163 for a file that is lost or damaged."""
    tensors = read_tensors(path / WEIGHTS, "the weights of an encoder, in safetensors' format")
    with reading(path / PIECES, "the pieces of an encoder"):
        shim.load_pieces(srsly.msgpack_loads(read_bytes(path / PIECES)))
    shim.load_weights(tensors)
