"""From the vectors of each member of a Stack to one vector a token."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d
from torch import Tensor

from ..thinc_model.build_model import ContextualModel
from ..thinc_model.run_function import run
from ..thinc_model.split_by_doc import join, split_vectors
from ..torch_state import in_ordinary_torch
from .learned_sum import MemberMixShim

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
    """The weighted sum of a Stack, if it has one."""
    return next((shim for shim in model.shims if isinstance(shim, MemberMixShim)), None)
