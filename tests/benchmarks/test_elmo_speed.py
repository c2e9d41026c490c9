"""The benchmark of ELMo's size, with a tiny encoder."""

from pathlib import Path

import pytest

from . import elmo_speed


def test_a_tiny_encoder_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filters = [[1, 8], [2, 8]]
    tiny = {"width": 16, "hidden_width": 32, "n_lstm_layers": 2, "filters": filters}
    monkeypatch.setattr(elmo_speed, "ORIGINAL", {**tiny, "n_highways": 1})
    monkeypatch.setattr(elmo_speed, "measure_products", lambda multiply: 1.0)
    monkeypatch.setattr(elmo_speed, "find_time", lambda way: {})
    text = tmp_path / "text.txt"
    text.write_text("The bank lent money .\nWe sat by the river .\n", encoding="utf8")
    elmo_speed.build_pipeline().to_disk(tmp_path / "pipeline")
    found = elmo_speed.measure_speed(text, 2, 1, tmp_path / "pipeline")
    assert found["tokens"] == 11
    assert found["largest difference of fp32 from the baseline"] < 1e-5
    assert found["bf16 from fp32"]["least cosine of a token"] > 0.99
