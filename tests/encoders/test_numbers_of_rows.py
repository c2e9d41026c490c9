"""oneDNN keeps a program for each number of rows: so there are few of them."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_ctxemb.encoders import ModernTransformerEncoder, TransformerEncoder
from spacy_ctxemb.encoders.kernels.linear import round_up

SIZES: dict[str, Any] = {"vocab_size": 20, "width": 8, "n_blocks": 1, "n_heads": 2}


class Rows(TorchDispatchMode):
    """Notes the rows of products with packed weights."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # PyTorch's
        self.met: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "linear" in str(func) or func is torch.ops.aten.addmm.default:
            self.met.add(len(args[0]))
        return func(*args, **(kwargs or {}))


def test_rounding() -> None:
    assert [round_up(n) for n in (0, 1, 63, 64, 65, 127, 129, 4000)] == (
        [0, 1, 63, 64, 66, 128, 132, 4032]
    )
    assert len({round_up(n) for n in range(1, 4097)}) < 260
    assert all(n <= round_up(n) <= n * 33 / 32 for n in range(1, 5000))


@pytest.mark.parametrize("kind", [TransformerEncoder, ModernTransformerEncoder])
@torch.inference_mode()
def test_few_numbers_of_rows(kind: Any) -> None:
    encoder = kind(**SIZES, feedforward_width=16, max_length=100).eval()
    encoder.reset_parameters()
    with Rows() as rows:
        for n in range(500, 540):  # steps of ten windows
            lengths = torch.tensor([50] * 9 + [n - 450])[:, None]
            mask = torch.arange(100) < lengths
            (*_, top) = encoder(torch.ones(10, 100, dtype=torch.long), mask)
            assert top.shape == (n, 8) and top.isfinite().all()
    if torch.backends.mkldnn.is_available():
        assert len(rows.met) < 12
