"""One model in several processes, by PyTorch's own means."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.nn.parallel import DistributedDataParallel

from ..encoders.feedforward import FeedForward
from ..encoders.lstm import LSTM
from ..encoders.transformer import Block
from ..errors import Errors
from .distributed import Processes
from .settings import PretrainSettings


def distribute(module: nn.Module, settings: PretrainSettings, processes: Processes) -> nn.Module:
    """The module, so that the gradients of all processes are added up."""
    if settings.compile:
        compile_layers(module)
    if processes.n == 1:
        return module
    if settings.parallel == "fsdp":
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        for block in find_blocks(module):
            fully_shard(block)
        whole = cast(nn.Module, fully_shard(module))
        if hasattr(whole, "score"):  # what evaluation calls, in masked language modelling
            register_fsdp_forward_method(whole, "score")
        return whole
    devices = [processes.device.index] if processes.device.type == "cuda" else None
    # The views save two copies of all gradients a step.
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)


def compile_layers(module: nn.Module) -> None:
    """Compile the feed-forward layers, where they are.

    They see rows alone. Whole blocks would be compiled anew for each set of lengths of windows,
    and loops over the steps of an LSTM come out as long as the longest text.
    """
    for layer in list_compiled(module):
        layer.compile(dynamic=True)


def list_compiled(module: nn.Module) -> list[FeedForward]:
    """What `compile` is for; an error where there is none."""
    layers = [m for m in module.modules() if isinstance(m, FeedForward)]
    if not layers:
        raise ValueError(Errors.E213)
    return layers


def gather_weights(module: nn.Module) -> dict[str, Tensor]:
    """The values of all parameters, whole, in the first process."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast(dict[str, Tensor], get_model_state_dict(module, options=options))


def find_blocks(module: nn.Module) -> list[nn.Module]:
    """What is held in parts by itself: modules that are called, and hold most parameters."""
    return [m for m in module.modules() if isinstance(m, LSTM | Block)]


def without_synchronisation(module: nn.Module) -> AbstractContextManager[Any]:
    """For all micro-batches of a step but the last: gradients stay in this process."""
    if isinstance(module, DistributedDataParallel):
        return cast(AbstractContextManager[Any], module.no_sync())
    return nullcontext()
