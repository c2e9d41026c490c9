"""Imports and exports that cannot be written: a coded message, code 1, and nothing is left."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..bert_models import FAMILIES
from ..elmo_models import write_model
from ..encoders.bilm_loop import Options
from .command import run, run_well

resource: Any = pytest.importorskip("resource", reason="limits are POSIX's")

MOST_BYTES = 8192


@contextmanager
def small_files() -> Iterator[None]:
    """No file may become larger: the system refuses to write more, as where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def make_command(name: str, tmp_path: Path) -> list[str | Path]:
    """A command that would write large files, without its last argument."""
    if name == "import bert":
        return ["import", "bert", FAMILIES / "bert"]
    if name == "import bert --wrap":
        pytest.importorskip("transformers", reason="the package transformers is not installed")
        return ["import", "bert", "--wrap", FAMILIES / "bert"]
    if name == "export bert":
        run_well("import", "bert", FAMILIES / "bert", tmp_path / "pipeline")
        return ["export", "bert", tmp_path / "pipeline"]
    files = write_model(tmp_path / "elmo", Options(max_characters=50, hidden_width=100))
    if name == "import elmo":
        return ["import", "elmo", *files]
    run_well("import", "elmo", *files, tmp_path / "pipeline")
    return ["export", "elmo", tmp_path / "pipeline"]


@pytest.mark.parametrize(
    "name", ["import elmo", "import bert", "import bert --wrap", "export elmo", "export bert"]
)
def test_what_cannot_be_written_is_said(name: str, tmp_path: Path) -> None:
    command = make_command(name, tmp_path)
    with small_files():
        code, output = run(*command, tmp_path / "new" / "out")
    assert code == 1
    assert "[E164]" in output and "cannot be written: " in output and "Make room" in output
    assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["import elmo", "import bert", "export elmo", "export bert"])
def test_a_folder_that_cannot_be_made(name: str, tmp_path: Path) -> None:
    command = make_command(name, tmp_path)
    (tmp_path / "file").write_text("")
    code, output = run(*command, tmp_path / "file" / "out")
    assert code == 1 and "[E164]" in output and "cannot be written: " in output


def test_an_output_that_is_full() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-m", "spacy", "ctxemb", "init-config", "-"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "[E519]" in done.stderr and "Traceback" not in done.stderr
