"""The columns in which a Transformer's inner values are much larger than in others."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .base import Encoder

#: Windows, and their steps, at most.
N_WINDOWS, N_STEPS = 8, 64

#: One column of so many is chosen.
ONE_OF = 48


def find_largest_columns(encoder: Encoder, products: Sequence[str]) -> list[Tensor]:
    """Of the input of each product the numbers of the columns that hold the largest values.

    In a trained Transformer a few columns are up to a hundred times as large as the others, the
    same ones in whatever text. So pieces drawn at random show them.

    encoder: takes ids (B, T). products: names of modules.
    """
    # Its weights in fp32, without hooks. Other threads may be at work with the encoder itself.
    with torch.device("meta"):
        twin = type(encoder)(**encoder.settings)
    twin.requires_grad_(False).load_state_dict(encoder.state_dict(), assign=True)
    largest: dict[str, Tensor] = {}

    # By names: with modules the twin would refer to itself, and stay until Python looks for cycles.
    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].abs().amax(dim=0)  # (in,)
        largest[name] = torch.maximum(values, largest.get(name, values))

    for name in products:
        twin.get_submodule(name).register_forward_pre_hook(partial(note, name))
    ids = draw_ids(encoder).to(next(encoder.parameters()).device)
    with torch.no_grad():
        twin.eval()(ids, torch.ones_like(ids, dtype=torch.bool))
    return [largest[name].topk(len(largest[name]) // ONE_OF).indices for name in products]


def draw_ids(encoder: Encoder) -> Tensor:
    """Pieces of any kind, the same ones each time. (B, T)"""
    generator = torch.Generator("cpu").manual_seed(0)
    size = N_WINDOWS, min(N_STEPS, encoder.max_length or N_STEPS)
    return torch.randint(encoder.n_ids, size, generator=generator, device="cpu")
