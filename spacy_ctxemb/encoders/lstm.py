"""One layer and direction of a biLM: an LSTM with projection and clipping.

Source: Sak et al. 2014, "Long Short-Term Memory Recurrent Neural Network Architectures for Large
Scale Acoustic Modeling", section 2; clipping as in TensorFlow's LSTMCell. PyTorch's own LSTM
projects but does not clip, so it cannot stand in.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .derived_weights import Derived
from .gradient_checkpointing import Part
from .kernels.linear import pack, product_with
from .kernels.lstm_forward_backward import LSTMFunction
from .kernels.lstm_inference import Clips, Kernels, State, fast_tanh_, find_last_rows, infer_steps

#: Added to the forget gate. TensorFlow adds it at run time, so published weights do without.
FORGET_BIAS = 1.0


class LSTM(Part):
    """h and c of one step after the other; gates in the order input, candidate, forget, output.

    i, j, f, o = W_x x + W_h h + b
    c = clip(sigmoid(f + 1) c + sigmoid(i) tanh(j))
    h = clip(W_p (sigmoid(o) tanh(c)))

    width: of x and h. hidden_width: of c.
    is_projected: whether there is W_p. Without it both widths are equal, and h is not clipped.
    cell_clip, projection_clip: bounds of c and of h; None for no bound.
    """

    def __init__(
        self,
        width: int,
        hidden_width: int,
        *,
        is_projected: bool,
        cell_clip: float | None,
        projection_clip: float | None,
    ) -> None:
        super().__init__()
        self.width = width
        self.hidden_width = hidden_width
        self.clips = Clips(cell_clip, projection_clip)
        self.dtype: torch.dtype | None = None
        self._kernels = Derived(build_kernels)
        self.weight_input = nn.Parameter(torch.empty(4 * hidden_width, width))
        self.weight_hidden = nn.Parameter(torch.empty(4 * hidden_width, width))
        self.bias = nn.Parameter(torch.empty(4 * hidden_width))
        self.projection: nn.Parameter | None = None
        if is_projected:
            self.projection = nn.Parameter(torch.empty(width, hidden_width))

    def forward(
        self,
        x: Tensor,
        sizes: Sequence[int],
        initial: State | None = None,
        continues: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run over packed sequences.

        x: (N, width), packed by time, see `pack_by_time`.
        sizes: sequences still active at each step, not increasing; they add up to N.
        initial: state of each sequence, the longest first; zeros where there is none.
        continues: (N,), 0 at steps that begin at zero, whatever was before, and 1 at others; None
            for 1 at all.
        Returns h of each step, (N, width), and the last state of each sequence, detached.
        """
        if not sizes:
            return x, self.zero_state(0)
        initial = self.zero_state(sizes[0]) if initial is None else initial
        bias = self.bias + self._forget_bias()
        if torch.is_grad_enabled() or continues is not None:
            weights = self.weight_input, self.weight_hidden, bias, self.projection
            run = LSTMFunction.apply
            y, c = run(x, *weights, sizes, initial, self.clips, continues)  # type: ignore[no-untyped-call]  # PyTorch's
        else:
            y, c = infer_steps(x, sizes, initial, self._kernels.get(self), bias, self.clips)
        return y, State(y.detach()[find_last_rows(sizes, y.device)], c)

    def set_dtype(self, dtype: torch.dtype | None) -> None:
        """Set the type of the factors of products in inference; None for that of the weights."""
        self.dtype = dtype
        self._kernels.drop()

    def zero_state(self, n: int) -> State:
        like: dict[str, Any] = {"dtype": self.bias.dtype, "device": self.bias.device}
        return State(torch.zeros(n, self.width, **like), torch.zeros(n, self.hidden_width, **like))

    def reset_parameters(self) -> None:
        """Glorot uniform over the joint kernel [input; hidden], as in the original training."""
        bound = (6.0 / (2 * self.width + 4 * self.hidden_width)) ** 0.5
        nn.init.uniform_(self.weight_input, -bound, bound)
        nn.init.uniform_(self.weight_hidden, -bound, bound)
        nn.init.zeros_(self.bias)
        if self.projection is not None:
            bound = (6.0 / (self.width + self.hidden_width)) ** 0.5
            nn.init.uniform_(self.projection, -bound, bound)

    def _forget_bias(self) -> Tensor:
        gates = self.bias.new_tensor([0.0, 0.0, FORGET_BIAS, 0.0])
        return gates.repeat_interleave(self.hidden_width)


def build_kernels(lstm: LSTM) -> Kernels:
    """What inference computes with. Each step reads W_h and W_p, which are worth a second copy."""
    dtype = lstm.dtype or lstm.bias.dtype
    return Kernels(
        input=(
            product_with(lstm.weight_input)
            if dtype == lstm.bias.dtype
            else pack(lstm.weight_input, dtype)
        ),
        hidden=pack(lstm.weight_hidden, dtype),
        projection=None if lstm.projection is None else pack(lstm.projection, dtype),
        tanh=torch.tanh_ if dtype == lstm.bias.dtype else fast_tanh_,
    )


class Packing(NamedTuple):
    """How the N real steps of a batch are ordered by time, the longest window first.

    order: (2, N), which real step, window by window, comes next, for either direction.
    sizes: windows still active at each step.
    windows: (B,), the longest first.
    """

    order: Tensor
    sizes: list[int]
    windows: Tensor


def pack_by_time(mask: Tensor) -> Packing:
    """Order real steps by time, so that no step of the recurrence sees padding."""
    lengths, windows = mask.sum(dim=1).sort(descending=True, stable=True)  # (B,)
    active = torch.arange(mask.size(1), device=mask.device)[:, None] < lengths  # (T, B)
    step, rank = active.nonzero(as_tuple=True)  # (N,) each
    step_back = lengths[rank] - 1 - step
    first = (mask.sum(dim=1).cumsum(dim=0)[windows] - lengths)[rank]  # of the window's real steps
    sizes = [size for size in active.sum(dim=1).tolist() if size]
    return Packing(
        order=torch.stack([first + step, first + step_back]),
        sizes=sizes,
        windows=windows,
    )
