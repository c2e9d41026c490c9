"""The benchmark of `ctxemb encode` in processes and on Ray."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from . import encode_scale

pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def test_what_is_read_of_a_run(tmp_path: Path) -> None:
    encode_scale.write_texts(tmp_path, 10, bad=True)
    lines = (tmp_path / "texts.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    assert texts[7] == "\ud800" and sorted(texts[0].split()) == sorted(encode_scale.WORDS)
    for name in ("000000000000-000000000002.parquet", "_failed-0.jsonl", "_manifest.json"):
        (tmp_path / name).write_text(name)
    assert set(encode_scale.list_partitions(tmp_path)) == {"000000000000-000000000002.parquet"}
    assert len(encode_scale.read_all(tmp_path)) == 2


@pytest.mark.slow
def test_kills_and_rounds(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(encode_scale.main)
    options = ["--kills", "2", "--rounds", "1", "--texts", "200", "--ways", "thread,workers"]
    found = CliRunner().invoke(app, [*options, "--output", str(tmp_path / "found.json")])
    assert found.exit_code == 0, found.output
    result = json.loads((tmp_path / "found.json").read_text())
    assert result["kills, workers"]["kills"] == 2
    assert result["kills, workers"]["differences"] == []
    assert all(len(x["whole"]) == 1 for x in result["words/s"].values())
