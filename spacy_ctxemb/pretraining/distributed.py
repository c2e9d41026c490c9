"""Training in several processes, by PyTorch's own means."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ..encoders.basic_layers import FeedForward
from ..encoders.lstm import LSTM
from ..encoders.transformer_blocks import Block
from ..errors import Errors
from .pretrain_section import PretrainSettings

T = TypeVar("T")

#: How long processes wait for each other: one of them may tokenise the text for all.
TIMEOUT = timedelta(hours=6)


class Processes(NamedTuple):
    """The processes that train together. rank: which of the n this one is. device: of this one.

    Example:
        with join_processes("cpu") as processes:
            if processes.is_first:
                write_text()
            processes.wait()
    """

    rank: int
    n: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        if self.n > 1:
            dist.barrier()

    def add_up(self, sums: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """Add up the sums of all processes, by name. All processes must have the same names."""
        if self.n == 1:
            return sums
        found = torch.tensor(list(sums.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(found)
        return {name: (row[0], row[1]) for name, row in zip(sums, found.tolist(), strict=True)}

    def agree(self, value: T) -> T:
        """Return the first process's value in all processes."""
        values = [value]
        if self.n > 1:
            dist.broadcast_object_list(values)
        return values[0]


@contextmanager
def join_processes(device_type: str) -> Iterator[Processes]:
    """Join the other processes if `torchrun` started this one. device_type: "cpu" or "cuda"."""
    if "RANK" not in os.environ:
        yield Processes(0, 1, torch.device(device_type))
        return
    device = torch.device(device_type)
    if device_type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def distribute(module: nn.Module, settings: PretrainSettings, processes: Processes) -> nn.Module:
    """Wrap a module so that the gradients of all processes are added up.

    Raises E455 if settings.compile is set and the module has no feed-forward layer.
    """
    if settings.compile:
        # They see rows alone. Whole blocks would be compiled anew for each set of lengths of
        # windows, and the loop over the steps of an LSTM as long as the longest text.
        for layer in find_compiled(module):
            layer.compile(dynamic=True)
    if processes.n == 1:
        return module
    if settings.parallel == "fsdp":
        return shard_parameters(module)
    devices = [processes.device.index] if processes.device.type == "cuda" else None
    # The views save two copies of all gradients a step.
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)


def find_compiled(module: nn.Module) -> list[FeedForward]:
    """The layers that `compile` compiles. Raises E455 if there are none."""
    layers = [m for m in module.modules() if isinstance(m, FeedForward)]
    if not layers:
        raise ValueError(Errors.E455)
    return layers


def shard_parameters(module: nn.Module) -> nn.Module:
    """Divide the parameters among the processes, those of each LSTM and each block apart."""
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for block in [m for m in module.modules() if isinstance(m, LSTM | Block)]:
        fully_shard(block)
    whole = cast(nn.Module, fully_shard(module))
    if hasattr(whole, "score"):  # evaluation of a masked language model calls it
        register_fsdp_forward_method(whole, "score")
    return whole


def gather_state(
    module: nn.Module, optimizer: Optimizer | None = None, *, keep: bool = True
) -> dict[str, Tensor]:
    """Return whole weights as "model.NAME" and what an optimizer has averaged as
    "optimizer.NAME.KEY", on the CPU. All processes must call it; without `keep` it is empty."""
    module = unwrap(module)
    tensors = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    if optimizer is not None:
        for name, parameter in module.named_parameters():
            for key, tensor in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = tensor
    found = {}
    for name, tensor in tensors.items():
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            found[name] = whole.cpu().contiguous()
    return found


def load_state(path: Path, module: nn.Module, optimizer: Optimizer) -> None:
    """Take what `gather_state` has returned from a file of safetensors.

    Raises KeyError, ValueError or RuntimeError where names or shapes are others.
    """
    module = unwrap(module)
    parameters, tensors = dict(module.named_parameters()), module.state_dict()
    weights: dict[str, Tensor] = {}
    averages: dict[str, dict[str, Tensor]] = {name: {} for name in parameters}
    with safe_open(path, framework="pt") as file:
        for full_name in file.keys():
            whole = file.get_tensor(full_name)
            kind, _, name = full_name.partition(".")
            if kind == "model":
                weights[name] = divide(whole, tensors[name])
            else:
                name, _, key = name.rpartition(".")
                averages[name][key] = divide(whole, parameters[name])
    module.load_state_dict(weights)
    names = {parameter: name for name, parameter in parameters.items()}
    trained = [names[p] for group in optimizer.param_groups for p in group["params"]]
    state = {i: averages[name] for i, name in enumerate(trained) if averages[name]}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def divide(whole: Tensor, like: Tensor) -> Tensor:
    """Divide a tensor among processes as another one is; single numbers stay whole."""
    if whole.dim() and whole.shape != like.shape:
        raise ValueError(f"a shape is {list(whole.shape)}, not {list(like.shape)}")
    if not isinstance(like, DTensor) or not whole.dim():
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)


def unwrap(module: nn.Module) -> nn.Module:
    return module.module if isinstance(module, DistributedDataParallel) else module


def without_synchronisation(module: nn.Module) -> AbstractContextManager[Any]:
    """Keep gradients in this process: for all micro-batches of a step but the last."""
    if isinstance(module, DistributedDataParallel):
        return cast(AbstractContextManager[Any], module.no_sync())
    return nullcontext()
