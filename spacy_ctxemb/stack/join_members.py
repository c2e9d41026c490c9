"""From the vectors of each member of a Stack to one vector a token."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from spacy.tokens import Doc
from thinc.api import Model, Ops, get_torch_default_device
from thinc.types import Floats2d
from torch import Tensor, nn

from ..thinc_model.arrays_and_tensors import join, run, split_vectors
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.torch_module_shim import TorchShim
from ..torch_state import in_ordinary_torch, ordinary_torch


class MemberMix(nn.Module):
    """sum_m softmax(a)_m (W_m h_m + b_m), with learned a, W and b.

    Source: Kiela et al. 2018, "Dynamic Meta-Embeddings for Improved Sentence Representations",
    section 3.1, with weights that are the same for all tokens, so that they can be read.

    widths: of the members' vectors. width: of the result. A member that has zeros for a token,
    which has no pieces or is in no table, adds nothing, no bias either.
    """

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(size, width) for size in widths)
        self.weights = nn.Parameter(torch.empty(len(widths)))

    def forward(self, members: Sequence[Tensor]) -> Tensor:
        """members: (W, D_m) each. Returns (W, width)."""
        terms = []
        shares = torch.softmax(self.weights, dim=0)
        for share, project, vectors in zip(shares, self.projections, members, strict=True):
            has_vector = vectors.ne(0).any(dim=1, keepdim=True)  # (W, 1)
            terms.append(share * has_vector * project(vectors))
        return torch.stack(terms).sum(dim=0)

    def reset_parameters(self) -> None:
        """Random projections, in equal shares."""
        nn.init.zeros_(self.weights)
        for projection in self.projections:
            cast(nn.Linear, projection).reset_parameters()


class MemberMixShim(TorchShim):
    """Holds the mix of a stack, which has no values before it is initialised or loaded."""

    def __init__(self, widths: Sequence[int], width: int) -> None:
        with ordinary_torch(), torch.device("meta"):
            super().__init__(MemberMix(widths, width))

    @property
    def mix(self) -> MemberMix:
        return cast(MemberMix, self.module)

    @in_ordinary_torch
    def initialise(self) -> None:
        self.mix.to_empty(device=get_torch_default_device())
        self.mix.reset_parameters()

    def get_shares(self) -> list[float]:
        """Of each member; they add up to 1."""
        self.check_materialised()
        shares: list[float] = torch.softmax(self.mix.weights.detach(), dim=0).tolist()
        return shares


#: Sends the gradients of a stack's vectors back: one array a Doc to one array a Doc and member.
Split = Callable[[list[Floats2d]], list[list[Floats2d]]]


def concatenate(
    model: ContextualModel, outputs: Sequence[list[Floats2d]]
) -> tuple[list[Floats2d], Split]:
    """Side by side."""
    ops, xp = model.ops, model.ops.xp
    ends = xp.cumsum(xp.array([member.get_dim("nO") for member in model.layers]))[:-1].tolist()
    joined = [xp.concatenate(vectors, axis=1) for vectors in zip(*outputs, strict=True)]

    def split(gradients: list[Floats2d]) -> list[list[Floats2d]]:
        by_doc = [xp.split(gradient, ends, axis=1) for gradient in gradients]
        return [list(map(ops.as_contig, parts)) for parts in zip(*by_doc, strict=True)]

    return joined, split


@in_ordinary_torch
def mix(
    shim: MemberMixShim,
    docs: Sequence[Doc],
    outputs: Sequence[list[Floats2d]],
    ops: Ops,
    is_train: bool,
) -> tuple[list[Floats2d], Split]:
    """As a learned sum."""
    shim.check_materialised()
    members = [join(vectors, axis=0, device=shim.device) for vectors in outputs]
    mixed, backprop = run(shim.mix, members, is_train=is_train)

    @in_ordinary_torch
    def split(gradients: list[Floats2d]) -> list[list[Floats2d]]:
        found = backprop(join(gradients, axis=0, device=shim.device))
        return [split_vectors(cast(Tensor, one), docs, ops) for one in found]

    return split_vectors(mixed, docs, ops), split


def find_mix(model: Model[Any, Any]) -> MemberMixShim | None:
    return next((shim for shim in model.shims if isinstance(shim, MemberMixShim)), None)
