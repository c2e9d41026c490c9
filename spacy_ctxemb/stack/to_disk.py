"""The files of a component's encoders: `pieces` and `encoder.safetensors` in its folder, or in a
folder for each encoder of a Stack."""

from pathlib import Path

from ..atomic_files import replacing_folder
from ..read_files import reading
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import get_shim
from .join_members import find_mix
from .stack import get_members, is_encoder

#: The weighted sum of a Stack.
MIX = "mix.safetensors"


def to_disk(model: ContextualModel, path: Path) -> None:
    """Write the encoders of a component, which have no limit of size: all of them, or nothing."""
    with replacing_folder(path, may_exist=True) as folder:
        for name, member in get_members(model).items():
            if is_encoder(member):
                get_shim(member).to_disk(folder / name)
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
            get_shim(member).from_disk(path / name)
            continue
        with reading(file, f"the member '{name}' of a Stack"):
            member.from_bytes(file.read_bytes())
    shim = find_mix(model)
    if shim is not None:
        with reading(path / MIX, f"the mix of a Stack of {list(get_members(model))}"):
            shim.from_bytes((path / MIX).read_bytes())
