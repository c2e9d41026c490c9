"""Checkpoints of a training run: all that it needs to go on as if it had never stopped.

A checkpoint is a folder: `model` in the format of torch.distributed.checkpoint, one file for each
shard of the data, `progress.json`, and the checksums of all of these. It is written under another
name and renamed, so a folder that has its name is whole, unless a disk has damaged it.
"""

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load as load_states
from torch.distributed.checkpoint.state_dict_saver import save as save_states
from torch.optim import Optimizer

from ..atomic_files import compute_checksum
from ..errors import Errors
from .distributed import Processes
from .tasks.base import Carried, Stream

CHECKSUMS = "checksums.json"
PROGRESS = "progress.json"


class Shard(NamedTuple):
    """One shard of the data in this process. number: among all processes' shards."""

    number: int
    stream: Stream
    carried: Carried


class Progress(NamedTuple):
    """How far a run has come. steps: done; words: read by all processes. scaler: of the loss, in
    fp16; empty otherwise."""

    steps: int = 0
    words: int = 0
    scaler: Mapping[str, Any] = {}


class RunCheckpoints:
    """The checkpoints of a run. n_shards: in all processes together. keep: the last ones.

    Example:
        checkpoints = RunCheckpoints(folder, processes, n_shards=1, keep=2)
        path = checkpoints.save(progress, module, optimizer, shards)
        progress, shards = checkpoints.load(path, module, optimizer, shards)
    """

    def __init__(self, folder: Path, processes: Processes, *, n_shards: int, keep: int) -> None:
        self.folder = folder
        self.processes = processes
        self.n_shards = n_shards
        self.keep = keep

    def save(
        self, progress: Progress, module: nn.Module, optimizer: Optimizer, shards: Sequence[Shard]
    ) -> Path:
        """Write a checkpoint, and drop the oldest ones."""
        path = self.folder / f"step-{progress.steps:08d}"
        temporary = path.with_name(f"{path.name}.tmp")
        first = self.processes.is_first
        if first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        self.processes.wait()
        model, optimizer_state = get_state_dict(module, optimizer)
        with expecting_one_process():
            state = {"model": model, "optimizer": optimizer_state}
            save_states(state, checkpoint_id=temporary / "model")
        for shard in shards:
            save_file(pack_shard(shard), temporary / shard_name(shard.number))
        self.processes.wait()
        if first:
            state = {**progress._asdict(), "n_shards": self.n_shards}
            (temporary / PROGRESS).write_text(json.dumps(state), encoding="utf8")
            checksums = json.dumps(compute_checksums(temporary), indent=1)
            (temporary / CHECKSUMS).write_text(checksums, encoding="utf8")
            shutil.rmtree(path, ignore_errors=True)
            temporary.rename(path)
            for old in self.list_paths()[: -self.keep]:
                if old != path:
                    shutil.rmtree(old)
        self.processes.wait()
        return path

    def list_paths(self) -> list[Path]:
        """List checkpoints that were finished, the last one last."""
        return sorted(p for p in self.folder.glob("step-*") if p.suffix != ".tmp")

    def find_last(self) -> tuple[Path | None, list[str]]:
        """Find the last checkpoint that is not damaged, and the names of damaged ones after it.

        Returns None and no names if there are no checkpoints; raises E463 if all are damaged.

        The first process looks, and sets damaged ones aside under other names: else they would
        count as later than those which are still to come.
        """
        found, damaged = "", list[str]()
        if self.processes.is_first:
            found, damaged = self._search()
        found, damaged = json.loads(self.processes.agree(json.dumps([found, damaged])))
        if damaged and not found:
            raise ValueError(Errors.E463.format(path=self.folder, names=damaged))
        return self.folder / found if found else None, damaged

    def _search(self) -> tuple[str, list[str]]:
        damaged: list[Path] = []
        for path in reversed(self.list_paths()):
            if is_whole(path):
                for other in damaged:
                    aside = other.with_name(f"damaged-{other.name}")
                    shutil.rmtree(aside, ignore_errors=True)
                    other.rename(aside)
                return path.name, [other.name for other in damaged]
            damaged.append(path)
        return "", [path.name for path in damaged]

    def validate_shards(self) -> None:
        """Raise E462 if the last checkpoint that can be read has another number of shards."""
        for path in reversed(self.list_paths()):
            try:
                self._read_progress(path)
            except (OSError, KeyError, json.JSONDecodeError, UnicodeDecodeError):
                continue
            return

    def _read_progress(self, path: Path) -> Progress:
        found = json.loads((path / PROGRESS).read_text(encoding="utf8"))
        n_shards = found.pop("n_shards")
        if n_shards != self.n_shards:
            raise ValueError(Errors.E462.format(path=path, found=n_shards, expected=self.n_shards))
        return Progress(**found)

    def load(
        self, path: Path, module: nn.Module, optimizer: Optimizer, shards: Sequence[Shard]
    ) -> tuple[Progress, list[Shard]]:
        """Take everything from a checkpoint. Returns how far it had come, and the shards.

        Raises E462 if it has another number of shards.
        """
        progress = self._read_progress(path)
        model, optimizer_state = get_state_dict(module, optimizer)
        state = {"model": model, "optimizer": optimizer_state}
        with expecting_one_process():
            load_states(state, checkpoint_id=path / "model")
        set_state_dict(module, optimizer, model_state_dict=model, optim_state_dict=optimizer_state)
        loaded = [unpack_shard(path, shard, self.processes.device) for shard in shards]
        return progress, loaded


@contextmanager
def expecting_one_process() -> Iterator[None]:
    """Hide PyTorch's warning that there is no process group: here there need be none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        yield


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


def pack_shard(shard: Shard) -> dict[str, Tensor]:
    """Put everything about a shard into tensors."""
    stream = {
        f"stream.{name}": torch.from_numpy(np.array(value, ndmin=1))
        for name, value in shard.stream.state().items()
    }
    carried = {f"carried.{name}": value.contiguous() for name, value in shard.carried.items()}
    return stream | carried


def unpack_shard(path: Path, shard: Shard, device: torch.device) -> Shard:
    """Read the shard that `pack_shard` has stored."""
    tensors = load_file(path / shard_name(shard.number))
    shapes = {name: value.shape for name, value in shard.stream.state().items()}
    shard.stream.load_state(
        {name: tensors[f"stream.{name}"].numpy().reshape(shapes[name]) for name in shapes}
    )
    carried = {name: tensors[f"carried.{name}"].to(device) for name in shard.carried}
    return shard._replace(carried=carried)


def is_whole(path: Path) -> bool:
    """Tell whether the files of a checkpoint are as they were written, whatever else is there."""
    try:
        expected = json.loads((path / CHECKSUMS).read_text(encoding="utf8"))
        return all(compute_checksum(path / name) == found for name, found in expected.items())
    except (OSError, ValueError):
        return False


def compute_checksums(folder: Path) -> dict[str, str]:
    """Compute the checksum of each file of a folder by its name there, but for CHECKSUMS itself."""
    return {
        str(path.relative_to(folder)): compute_checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != CHECKSUMS
    }
