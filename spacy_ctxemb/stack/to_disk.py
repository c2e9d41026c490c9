"""The files of a component's encoders: `pieces` and `encoder.safetensors` in its folder, or in a
folder for each encoder of a Stack."""

from pathlib import Path

from ..atomic_files import replacing
from ..errors import Errors
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import get_shim
from .join_members import find_mix
from .stack import ALONE, get_members, is_encoder

#: The weighted sum of a Stack.
MIX = "mix.safetensors"


def to_disk(model: ContextualModel, path: Path) -> None:
    """Write the encoders of a component. An encoder has no limit of size."""
    path.mkdir(parents=True, exist_ok=True)
    for name, member in get_members(model).items():
        if is_encoder(member):
            get_shim(member).to_disk(path / name)
        else:
            write(path / f"{name}.bin", member.to_bytes())
    shim = find_mix(model)
    if shim is not None:
        write(path / MIX, shim.to_bytes())


def from_disk(model: ContextualModel, path: Path) -> None:
    """Read what `to_disk` has written. Raises E046 where a member of a Stack has no files."""
    members = get_members(model)
    expected = [name if is_encoder(member) else f"{name}.bin" for name, member in members.items()]
    shim = find_mix(model)
    expected += [MIX] if shim is not None else []
    if list(members) != [ALONE] and not all((path / file).exists() for file in expected):
        raise ValueError(Errors.E046.format(members=list(members)))
    for name, member in members.items():
        if is_encoder(member):
            get_shim(member).from_disk(path / name)
        else:
            member.from_bytes((path / f"{name}.bin").read_bytes())
    if shim is not None:
        shim.from_bytes((path / MIX).read_bytes())


def write(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
