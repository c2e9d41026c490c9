"""From the vectors of several encoders to one vector a token."""

from collections.abc import Callable, Sequence
from typing import cast

import safetensors.torch
import torch
from thinc.api import get_torch_default_device
from torch import Tensor, nn

from ..errors import Errors
from ..thinc_model.torch_module_shim import TorchShim, backpropagate
from ..torch_state import in_ordinary_torch, ordinary_torch

#: What is stored of a mix without values: a file without tensors, since an empty one was cut.
NOTHING = safetensors.torch.save({})


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

    @property
    def is_materialised(self) -> bool:
        """Whether the parameters have values."""
        return self.device.type != "meta"

    @in_ordinary_torch
    def initialise(self) -> None:
        """Draw values."""
        self.mix.to_empty(device=get_torch_default_device())
        self.mix.reset_parameters()

    @in_ordinary_torch
    def predict(self, members: Sequence[Tensor]) -> Tensor:
        """The mixed vectors of all tokens. (W, D_m) each; returns (W, width)."""
        self.check_materialised()
        with torch.inference_mode():
            mixed: Tensor = self.mix(members)
        return mixed

    @in_ordinary_torch
    def begin_update(
        self, members: Sequence[Tensor]
    ) -> tuple[Tensor, Callable[[Tensor], list[Tensor]]]:
        """The same, and a callback from its gradient to that of the members."""
        self.check_materialised()
        inputs = [vectors.detach().requires_grad_() for vectors in members]
        with torch.enable_grad():
            mixed: Tensor = self.mix(inputs)

        @in_ordinary_torch
        def backprop(d_mixed: Tensor) -> list[Tensor]:
            backpropagate((mixed, d_mixed))
            return [cast(Tensor, vectors.grad) for vectors in inputs]

        return mixed.detach(), backprop

    def get_shares(self) -> list[float]:
        """Of each member; they add up to 1."""
        self.check_materialised()
        shares: list[float] = torch.softmax(self.mix.weights.detach(), dim=0).tolist()
        return shares

    def check_materialised(self) -> None:
        """Raise E008 where there are no weights yet."""
        if not self.is_materialised:
            raise RuntimeError(Errors.E008)

    def to_device(self, device_type: str, device_id: int) -> None:
        if self.is_materialised:
            super().to_device(device_type, device_id)

    def to_bytes(self) -> bytes:
        return super().to_bytes() if self.is_materialised else NOTHING

    def from_bytes(self, data: bytes) -> "MemberMixShim":
        if data == NOTHING:
            self.mix.to(device="meta")
            return self
        return super().from_bytes(data)
