"""A run on a few texts."""

import json
import sys

import pytest

from . import process_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone says what is shared")
def test_a_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    process_memory.main("en_transformer_sm", texts=300, rounds=1, way="1 thread")
    found = json.loads(capsys.readouterr().out)
    assert found["words/s"] > 0 and 50 < found["MB"] < 20_000
