"""The values of a PyTorch module: read, named by a digest, and replaced as a whole."""

import hashlib

import torch
from thinc.api import get_torch_default_device
from torch import Tensor, nn

from ..errors import Errors


def get_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The values of all parameters, in the form that safetensors wants."""
    return {name: value.contiguous() for name, value in module.state_dict().items()}


def compute_digest(module: nn.Module) -> bytes:
    """A short name for the values of all parameters."""
    found = hashlib.blake2b(digest_size=32)
    for name, value in module.state_dict().items():
        found.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        values = value.detach().cpu().contiguous().reshape(-1)
        found.update(values.view(torch.uint8).numpy())
    return found.digest()


def allocate(module: nn.Module) -> None:
    """Give parameters memory, but no values. `Module.to_empty` does this too, and imports SymPy
    for it, which takes a second."""
    device = get_torch_default_device()
    module._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device=device))


def load_module(module: nn.Module, tensors: dict[str, Tensor], *, copy: bool = True) -> None:
    """Take the values of all parameters, after a check of names, shapes and kinds of numbers.

    copy: not needed for tensors that nobody else has. One from a file is mapped to it, and would
    change with it. Where that is interrupted, all parameters are as before.
    """
    own = module.state_dict()
    expected, found = describe_shapes(own), describe_shapes(tensors)
    if found != expected:
        raise ValueError(Errors.E162.format(differences=describe_differences(expected, found)))
    device = get_torch_default_device()
    values = {n: tensor.to(device, own[n].dtype, copy=copy) for n, tensor in tensors.items()}
    try:
        module.load_state_dict(values, assign=True)
    except BaseException:
        module.load_state_dict(own, assign=True)
        raise


def describe_shapes(tensors: dict[str, Tensor]) -> dict[str, str]:
    """Shapes by name; of what holds no floating-point numbers with their type."""
    return {
        name: f"{tuple(value.shape)}{'' if value.is_floating_point() else f' of {value.dtype}'}"
        for name, value in tensors.items()
    }


def describe_differences(expected: dict[str, str], found: dict[str, str]) -> str:
    """The first few parameters that differ, for an error message."""
    names = [n for n in {**expected, **found} if expected.get(n) != found.get(n)]
    lines = [
        f"{name}: expected {expected.get(name, 'none')}, found {found.get(name, 'none')}"
        for name in names[:5]
    ]
    return "; ".join(lines) + (f"; and {len(names) - 5} more" if len(names) > 5 else "")
