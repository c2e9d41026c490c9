"""A run on a few texts."""

import json

import pytest

from spacy_ctxemb.embedder import batch_threads

from . import busy_cores


def test_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    busy_cores.main(busy=1, encoders="english", texts=20, rounds=1, threads=2)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["texts"] for line in lines] == ["short", "long"]
    assert all(line[way] > 0 for line in lines for way in busy_cores.WAYS)
    assert batch_threads.MAX_BATCHES > 1
