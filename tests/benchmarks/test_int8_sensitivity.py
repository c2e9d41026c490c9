"""A run on two texts."""

from pathlib import Path

import pytest

from . import int8_sensitivity


def test_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("A dog runs.\nHe cooks rice.\nNot read.\n", encoding="utf8")
    int8_sensitivity.main(texts, "en_transformer_sm", limit=2, each=False)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "12 pieces; least cosine, first percentile, mean"
    assert [line.split(":")[0] for line in lines] == [
        *("all", "inner", "outer", "output", "query_key_value")
    ]
    for line in lines:
        assert all(0.99 < float(word.rstrip(";")) < 1.0 for word in line.split() if "0." in word)
