"""Weights in 8 bits: of each row of a matrix whole numbers from -127 to 127, and a scale."""

import torch
from torch import Tensor

#: What follows the name of a matrix in the name of its scales.
SCALES = ".scales"


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round matrices to 8 bits, and all else to 16. The error of a number is at most 1/254 of the
    largest one of its row."""
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dim() < 2:
            packed[name] = tensor.to(torch.float16)
            continue
        scales = tensor.abs().amax(dim=1).clamp(min=1e-12) / 127
        packed[name] = (tensor / scales[:, None]).round().to(torch.int8)
        packed[name + SCALES] = scales
    return packed


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in fp32, in memory of their own. What has no scales is as it is."""
    names = [name for name in packed if not name.endswith(SCALES)]
    tensors = {name: packed[name].to(torch.float32, copy=True) for name in names}
    for name, tensor in tensors.items():
        if name + SCALES in packed:
            tensor.mul_(packed[name + SCALES][:, None])  # in place: memory takes longest
    return tensors
