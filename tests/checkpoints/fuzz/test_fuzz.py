"""Damaged models are refused with a coded error, or give the vectors that another reader gives.

CTXEMB_FUZZ_CASES sets the number of cases of the long run, CTXEMB_FUZZ_SEED the first one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ...bert_models import copy_family

pytest.importorskip("transformers", reason="transformers reads the same files")
if sys.platform != "linux":
    pytest.skip("the limits of its children are Linux's", allow_module_level=True)

from .run_case import Imported, Result, compare, run_import

ROOT = Path(__file__).parents[3]
LONG = {"bert": 10_000, "elmo": 5_000, "wrap": 2_000}


def fuzz(tmp_path: Path, *arguments: str) -> None:
    """Run the fuzzer in a process of its own, which forks."""
    command = [sys.executable, "-m", "tests.checkpoints.fuzz", *arguments]
    failed = ["--keep", str(tmp_path / "failed")]
    result = subprocess.run([*command, *failed], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]


def test_some_damaged_models(tmp_path: Path) -> None:
    fuzz(tmp_path, "--kind", "elmo", "--kind", "bert", "--kind", "wrap", "--n", "10")


@pytest.mark.filterwarnings("ignore")  # of transformers
@pytest.mark.parametrize("kind", ["bert", "wrap"])
def test_weights_of_two_precisions(kind: str, tmp_path: Path) -> None:
    """The first one tells transformers to what it rounds all others, unless a dtype is given."""
    folder = copy_family("bert_mlm", tmp_path / "model")
    path = folder / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    first = next(iter(tensors))
    torch.save(tensors | {first: tensors[first].bfloat16()}, path)
    found = run_import(kind, folder, tmp_path / "out")
    assert isinstance(found, Imported), found
    assert compare(kind, folder, found) == Result("equal")


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
def test_many_damaged_models(kind: str, tmp_path: Path) -> None:
    n = os.environ.get("CTXEMB_FUZZ_CASES", str(LONG[kind]))
    seed = os.environ.get("CTXEMB_FUZZ_SEED", "0")
    fuzz(tmp_path, "--kind", kind, "--n", n, "--seed", seed)
