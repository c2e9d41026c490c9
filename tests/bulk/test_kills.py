"""`ctxemb encode`, killed again and again."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spacy_ctxemb.bulk.parquet_parts import Parts

from ..search.index_of_few import build_pipeline

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

#: The command, with parts of one text that take their time.
CODE = """
import sys, time
from spacy_ctxemb.bulk import encode, parquet_parts
from spacy_ctxemb.cli import ctxemb_cli
encode.MAX_TEXTS = 1
add = parquet_parts.Parts.add
parquet_parts.Parts.add = lambda *x: (add(*x), time.sleep(0.02))
ctxemb_cli(["encode", *sys.argv[1:]])
"""
N_TEXTS = 60


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_twice(tmp_path: Path) -> None:
    rng = random.Random(0)
    pipeline, texts, output = (tmp_path / name for name in ("pipeline", "texts.jsonl", "out"))
    build_pipeline().to_disk(pipeline)
    rows = [{"text": f"Otters number {i} slept.", "id": f"t{i}"} for i in range(N_TEXTS)]
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-W", "ignore", "-c", CODE, str(pipeline), str(texts), str(output)]
    parts, n_kills = Parts(output), 0
    while not output.exists():
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            before = len(parts.list_parts()) if parts.folder.exists() else 0
            while process.poll() is None and n_kills < 4:
                n_parts = len(parts.list_parts()) if parts.folder.exists() else 0
                if n_parts >= before + 10:
                    time.sleep(rng.random() / 50)
                    process.kill()
                    n_kills += 1
                    break
                time.sleep(0.005)
        assert process.returncode in (0, -9)
    assert n_kills == 4
    table = pq.read_table(output).to_pydict()
    assert table["id"] == [row["id"] for row in rows]
    nlp = build_pipeline()
    expected = [nlp(row["text"]).vector for row in rows]
    np.testing.assert_allclose(table["vector"], expected, atol=1e-5)
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".ctxemb-")}
    assert left == {"pipeline", "texts.jsonl", "out"}
