"""Milliseconds of each routine of encoders/attention.py, for windows of several lengths.

    python -m tests.benchmarks.attention_routines [--lengths 32,64,128,256,510] [--pieces 4096]
        [--heads 12] [--width 32] [--rounds 15] [--threads 1]

A batch has windows of one length, as many as `pieces` allows. Its queries, keys and values are
parts of one tensor, as in a block. The routines take turns in prediction; medians, and least and
most. Beside each the largest difference from plain products of the same values in fp32. "chosen" is
the one that the package takes there on this CPU.
"""

import json
import statistics
from collections.abc import Callable
from typing import Any

import torch
import typer
from torch import Tensor

from spacy_ctxemb.encoders import attention

from .transformer_peers import take_time

#: Each takes queries, keys, values and a bias.
ROUTINES: dict[str, Callable[..., Tensor]] = {
    "plain": attention.attend_plainly,
    "fused": attention.attend_fused,
    "by head": attention.attend_by_head,
}

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main(
    lengths: str = typer.Option("32,64,65,128,319,320,510", help="Steps of a window"),
    pieces: int = typer.Option(4096, help="Steps of a batch at most"),
    heads: int = typer.Option(12, help="Of each step"),
    width: int = typer.Option(32, help="Of a head"),
    rounds: int = typer.Option(15, help="Measurements of each routine"),
    threads: int = typer.Option(1, help="PyTorch's"),
) -> None:
    """Print a line for each type and length."""
    torch.set_num_threads(threads)
    with torch.inference_mode():
        for dtype in DTYPES:
            for length in map(int, lengths.split(",")):
                qkv = draw(max(pieces // length, 1), length, heads, width).to(DTYPES[dtype])
                line = {"type": dtype, "length": length, "windows": qkv.size(1)}
                print(json.dumps({**line, **measure(qkv, rounds)}), flush=True)


def draw(n_windows: int, length: int, n_heads: int, width: int) -> Tensor:
    """Queries, keys and values. (3, B, n_heads, T, d)"""
    generator = torch.Generator().manual_seed(length)
    qkv = torch.randn(n_windows, length, 3, n_heads, width, generator=generator)
    return qkv.permute(2, 0, 3, 1, 4)


def measure(qkv: Tensor, rounds: int) -> dict[str, Any]:
    """qkv: (3, B, n_heads, T, d)"""
    q, k, v = qkv
    exact = attention.attend_plainly(*qkv.float(), None)
    gaps = {name: find_gap(routine(q, k, v, None), exact) for name, routine in ROUTINES.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ROUTINES}
    for _ in range(rounds):
        for name, routine in ROUTINES.items():
            seconds[name].append(take_time(lambda call=routine: call(q, k, v, None)))
    found: dict[str, Any] = {"chosen": find_chosen(q)}
    for name, some in seconds.items():
        least, median, most = (
            round(1000 * take(some), 2) for take in (min, statistics.median, max)
        )
        found[name] = {"ms": median, "range": [least, most], "difference": gaps[name]}
    return found


def find_gap(found: Tensor, exact: Tensor) -> float:
    return float(f"{(found.float() - exact).abs().max():.1e}")


def find_chosen(q: Tensor) -> str:
    """The routine that `attend` takes in prediction."""
    if attention.is_plain(q, 0.0):
        return "plain"
    return "by head" if attention.is_by_head(q, 0.0) else "fused"


if __name__ == "__main__":
    typer.run(main)
