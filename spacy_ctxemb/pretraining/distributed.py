"""Training in several processes, by PyTorch's own means."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.nn.parallel import DistributedDataParallel

from ..encoders.feedforward import FeedForward
from ..encoders.lstm import LSTM
from ..encoders.transformer import Block
from ..errors import Errors
from .settings import PretrainSettings

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
        """Wait until all processes have called this."""
        if self.n > 1:
            dist.barrier()

    def add_up(self, sums: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """Add up the sums of all processes, by name. All processes must have the same names."""
        if self.n == 1:
            return sums
        found = torch.tensor(list(sums.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(found)
        return {name: (row[0], row[1]) for name, row in zip(sums, found.tolist(), strict=True)}

    def agree(self, value: str) -> str:
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


def gather_weights(module: nn.Module) -> dict[str, Tensor]:
    """The whole values of all parameters, in the first process."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast(dict[str, Tensor], get_model_state_dict(module, options=options))


def without_synchronisation(module: nn.Module) -> AbstractContextManager[Any]:
    """Keep gradients in this process: for all micro-batches of a step but the last."""
    if isinstance(module, DistributedDataParallel):
        return cast(AbstractContextManager[Any], module.no_sync())
    return nullcontext()
