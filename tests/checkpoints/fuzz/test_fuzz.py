"""Damaged models are refused with a coded error, or give the vectors that another reader gives.

CTXEMB_FUZZ_CASES sets the number of cases of the long run, CTXEMB_FUZZ_SEED the first one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="transformers reads the same files")
if sys.platform != "linux":
    pytest.skip("the limits of its children are Linux's", allow_module_level=True)

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


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
def test_many_damaged_models(kind: str, tmp_path: Path) -> None:
    n = os.environ.get("CTXEMB_FUZZ_CASES", str(LONG[kind]))
    seed = os.environ.get("CTXEMB_FUZZ_SEED", "0")
    fuzz(tmp_path, "--kind", kind, "--n", n, "--seed", seed)
