"""The processes that train together, as `torchrun` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist

#: How long processes wait for each other: one of them may tokenise the text for all.
TIMEOUT = timedelta(hours=6)


class Processes(NamedTuple):
    """rank: which of the n processes this is. device: where it computes."""

    rank: int
    n: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.n > 1:
            dist.barrier()

    def add_up(self, sums: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """The sums of all processes, by name, of which all have the same."""
        if self.n == 1:
            return sums
        found = torch.tensor(list(sums.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(found)
        return {name: (row[0], row[1]) for name, row in zip(sums, found.tolist(), strict=True)}

    def agree(self, value: str) -> str:
        """The first process's value."""
        values = [value]
        if self.n > 1:
            dist.broadcast_object_list(values)
        return values[0]


@contextmanager
def join_processes(device_type: str) -> Iterator[Processes]:
    """Join the others, if `torchrun` has started this process. device_type: "cpu" or "cuda"."""
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
