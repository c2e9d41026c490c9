"""Ranks and their correlation, by hand; and a run on a few texts."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from . import text_similarity


def test_equal_values_share_a_rank() -> None:
    assert text_similarity.rank(np.array([3, 1, 3, 2])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_spearman_by_hand() -> None:
    """1 - 6 sum(d^2) / (n (n^2 - 1)) where no value is repeated: d is 0, 1, 1, 0."""
    found = text_similarity.correlate_ranks(np.array([1, 2, 3, 9]), np.array([10, 30, 20, 40]))
    assert found == pytest.approx(1 - 6 * 2 / (4 * 15))


def test_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [("A dog runs.", "A dog is running.", 4.8), ("A dog runs.", "He cooks rice.", 1.2)]
    rows = [dict(zip(("text1", "text2", "score"), row, strict=True)) for row in texts]
    with gzip.open(tmp_path / "test.jsonl.gz", "wt", encoding="utf8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    text_similarity.main(tmp_path, "en_transformer_sm", "test")
    assert capsys.readouterr().out == "en_transformer_sm: 100.0\n"
