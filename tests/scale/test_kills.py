"""`ctxemb encode`, killed again and again."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .texts import write_inputs

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

N_TEXTS = 60


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_lost_and_nothing_is_twice(tmp_path: Path, workers: str) -> None:
    rng = random.Random(0)
    inputs = write_inputs(tmp_path, N_TEXTS)
    output = tmp_path / "out.parquet"
    parts = tmp_path / "out.parquet.parts"
    command = [sys.executable, "-W", "ignore", "-m", "spacy", "ctxemb", "encode", *map(str, inputs)]
    command += [str(output), "--workers", workers, "--rows-per-partition", "1"]
    n_kills = 0
    while not output.exists():
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            before = len(list(parts.glob("[0-9]*")))
            while process.poll() is None and n_kills < 4:
                if len(list(parts.glob("[0-9]*"))) >= before + 5:
                    time.sleep(rng.random() / 20)
                    process.kill()
                    n_kills += 1
                    break
                time.sleep(0.005)
        assert process.returncode in (0, -9)
    assert n_kills == 4
    found = pq.read_table(output)
    assert found["id"].to_pylist() == [f"t{i}" for i in range(N_TEXTS) if i != 2]
    whole = tmp_path / "whole.parquet"
    command[command.index(str(output))] = str(whole)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert found == pq.read_table(whole)
    failed = [path.with_name(f"{path.name}.failed.jsonl") for path in (output, whole)]
    assert failed[0].read_text() == failed[1].read_text()
    assert not parts.exists()
