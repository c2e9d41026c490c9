"""A GPU that is not there."""

from pathlib import Path

import pytest

from .command import run

COMMANDS = {
    "cache": ["cache", "CONFIG"],
    "compare": ["compare", "out", "--config", "a=CONFIG", "--corpus", "b=corpus"],
    "pretrain": ["pretrain", "CONFIG", "out"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_gpu_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    config = tmp_path / "config.cfg"
    config.write_text("")
    arguments = [part.replace("CONFIG", str(config)) for part in COMMANDS[name]]
    code, output = run(*arguments, "--gpu-id", "99")
    assert code == 1 and "[E521] GPU 99 cannot be used: " in output
