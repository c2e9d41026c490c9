"""Checkpoints of a training run: all that it needs to go on as if it had never stopped.

A checkpoint is a folder: weights and the optimizer's averages in one file of safetensors, another
one for each shard of the data, `progress.json`, and the checksums of all of these. It is written
under another name and renamed, so a folder that has its name is whole, unless a disk has damaged
it. Checksums guard against such damage alone: who means harm can change them too. So whatever is
read here is numbers and text; no file can run code.
"""

import errno
import json
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ..atomic_files import replacing_folder, write_json, write_tensors
from ..errors import Errors
from ..read_files import compute_checksum, reading
from .check_resume_fits import Basis, validate_digests
from .distributed import Processes, gather_state, load_state
from .tasks.base import Carried, Stream

CHECKSUMS, PROGRESS, STATE = "checksums.json", "progress.json", "state.safetensors"

#: What a system says of files that are lost, or are something else. ENAMETOOLONG: of a name that
#: damaged checksums have.
DAMAGE = {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


class Shard(NamedTuple):
    """One shard of the data in this process. number: among all processes' shards."""

    number: int
    stream: Stream
    carried: Carried

    @property
    def file(self) -> str:
        return f"shard-{self.number:05d}.safetensors"


class Progress(NamedTuple):
    """How far a run has come. steps: done; words: read by all processes. scaler: of the loss, in
    fp16; empty otherwise."""

    steps: int = 0
    words: int = 0
    scaler: Mapping[str, Any] = {}


class RunCheckpoints:
    """The checkpoints of a run.

    basis: what the run was begun with, stored in each of them. n_shards: in all processes together.
    keep: the last ones.

    Example:
        checkpoints = RunCheckpoints(folder, processes, basis, n_shards=1, keep=2)
        path = checkpoints.save(progress, module, optimizer, shards)
        progress, shards = checkpoints.load(path, module, optimizer, shards)
    """

    def __init__(
        self, folder: Path, processes: Processes, basis: Basis, *, n_shards: int, keep: int
    ) -> None:
        self.folder = folder
        self.processes = processes
        self.basis = basis
        self.n_shards = n_shards
        self.keep = keep

    def save(
        self, progress: Progress, module: nn.Module, optimizer: Optimizer, shards: Sequence[Shard]
    ) -> Path:
        """Write a checkpoint, and drop the oldest ones.

        Raises E164 if the disk is full; those that were there before stay then.
        """
        path = self.folder / f"step-{progress.steps:08d}"
        first = self.processes.is_first
        folder = replacing_folder(path, may_exist=True) if first else nullcontext(path)
        with folder as temporary:
            temporary = self.processes.agree(temporary)
            state = gather_state(module, optimizer, keep=first)
            if first:
                write_tensors(state, temporary / STATE)
            for shard in shards:
                write_tensors(pack_shard(shard), temporary / shard.file)
            self.processes.wait()
            if first:
                self._describe(progress, temporary)
        if first:
            for old in list_checkpoints(self.folder)[: -self.keep]:
                if old != path:
                    shutil.rmtree(old, ignore_errors=True)
        self.processes.wait()
        return path

    def _describe(self, progress: Progress, folder: Path) -> None:
        """Write what is no tensor, and last the checksums."""
        header = {**progress._asdict(), "n_shards": self.n_shards}
        header["basis"] = self.basis._asdict()
        write_json(header, folder / PROGRESS)
        checksums = {file.name: compute_checksum(file) for file in sorted(folder.iterdir())}
        write_json(checksums, folder / CHECKSUMS)

    def find_last(self) -> tuple[Path | None, list[str]]:
        """Find the last checkpoint that is not damaged, and the names of damaged ones after it.

        Returns None and no names if there are no checkpoints; raises E463 if all are damaged.

        The first process looks, and sets damaged ones aside under other names: else they would
        count as later than those which are still to come.
        """
        found, damaged = None, list[Path]()
        for path in reversed(list_checkpoints(self.folder) if self.processes.is_first else []):
            if is_whole(path):
                found = path
                break
            damaged.append(path)
        for path in damaged if found else ():
            aside = self.folder / f"damaged-{path.name}"
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
        found, names = self.processes.agree((found, [path.name for path in damaged]))
        if names and not found:
            raise ValueError(Errors.E463.format(path=self.folder, names=names))
        return found, names

    def load(
        self, path: Path, module: nn.Module, optimizer: Optimizer, shards: Sequence[Shard]
    ) -> tuple[Progress, list[Shard]]:
        """Take everything from a checkpoint. Returns how far it had come, and the shards.

        Raises E461 for one of another text, other pieces or targets, E462 for another number of
        shards, E163 for a file that is not of this run.
        """
        progress, basis = read_progress(path, n_shards=self.n_shards)
        validate_digests(basis, self.basis.digests, self.folder.parent)
        with reading(path / STATE, "weights and averages of this run"):
            load_state(path / STATE, module, optimizer)
        return progress, [unpack_shard(path, shard, self.processes.device) for shard in shards]


def list_checkpoints(folder: Path) -> list[Path]:
    """List checkpoints that were finished, the last one last."""
    named = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    found = [path for path in named if path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def read_last_basis(folder: Path, *, n_shards: int) -> Basis | None:
    """Read what a run was begun with; None where there are no checkpoints.

    Raises E462 for another number of shards, E463 if no checkpoint can be read.
    """
    paths = list_checkpoints(folder)[::-1]
    for path in paths:
        if is_whole(path, [PROGRESS]):
            return read_progress(path, n_shards=n_shards)[1]
    if paths:
        raise ValueError(Errors.E463.format(path=folder, names=[path.name for path in paths]))
    return None


def read_progress(path: Path, *, n_shards: int) -> tuple[Progress, Basis]:
    """Read how far a checkpoint had come, and what its run was begun with.

    Raises E462 for another number of shards, E163 for a file of another kind.
    """
    with reading(path / PROGRESS, "the progress of a run"):
        data = json.loads((path / PROGRESS).read_text(encoding="utf8"))
        progress = Progress(int(data["steps"]), int(data["words"]), dict(data["scaler"]))
        basis = Basis(*(dict(data["basis"][name]) for name in Basis._fields))
        found = int(data["n_shards"])
        if path.name != f"step-{progress.steps:08d}":
            raise ValueError(f"it is of step {progress.steps}")
    if found != n_shards:
        raise ValueError(Errors.E462.format(path=path, found=found, expected=n_shards))
    return progress, basis


def is_whole(path: Path, names: Collection[str] = ()) -> bool:
    """Tell whether files of a checkpoint are as they were written, whatever else is there.

    names: of these files; all that were written if there are none. Raises OSError for files that
        are there and cannot be read.
    """
    try:
        checksums = json.loads((path / CHECKSUMS).read_text(encoding="utf8"))
        return all(
            Path(name).name == name
            and (path / name).is_file()
            and compute_checksum(path / name) == checksums[name]
            for name in names or {*checksums, PROGRESS, STATE}
        )
    except OSError as error:
        if error.errno not in DAMAGE:  # of the disk or the system: the checkpoint may be whole
            raise
        return False
    except (LookupError, TypeError, ValueError, RecursionError):
        return False


def pack_shard(shard: Shard) -> dict[str, Tensor]:
    """Put everything about a shard into tensors."""
    stream = {
        f"stream.{name}": torch.from_numpy(value) for name, value in shard.stream.state().items()
    }
    return stream | {f"carried.{name}": x.contiguous() for name, x in shard.carried.items()}


def unpack_shard(path: Path, shard: Shard, device: torch.device) -> Shard:
    """Read the shard that `pack_shard` has stored. Raises E163 for other shapes."""
    with reading(path / shard.file, "a shard of this run"):
        tensors = load_file(path / shard.file)
        expected, found = (
            {name: (list(x.shape), x.dtype) for name, x in values.items()}
            for values in (pack_shard(shard), tensors)
        )
        if expected != found:
            raise ValueError(f"it has {found} instead of {expected}")
        stream = {name: tensors[f"stream.{name}"].numpy() for name in shard.stream.state()}
        shard.stream.load_state(stream)
    carried = {name: tensors[f"carried.{name}"].to(device) for name in shard.carried}
    return shard._replace(carried=carried)
