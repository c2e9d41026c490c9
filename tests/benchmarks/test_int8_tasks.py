"""A run on a few texts."""

import gzip
import json
from pathlib import Path

import pytest

from . import int8_tasks


def test_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"text": f"A {word} runs.", "label": label}
        for word, label in (("dog", "a"), ("river", "b"))
    ]
    (tmp_path / "tiny").mkdir()
    for part in ("train", "dev"):
        with gzip.open(tmp_path / "tiny" / f"{part}.jsonl.gz", "wt", encoding="utf8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    int8_tasks.main(tmp_path, "en_transformer_sm", "tiny", train=2, dev=2)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["precision"] for line in lines] == ["fp32", "bf16", "int8"]
    assert [line["accuracy"] for line in lines] == [100.0] * 3
    assert lines[0]["mean cosine"] == 1.0 and 0.99 < lines[2]["mean cosine"] < 1.0
