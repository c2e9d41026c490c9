"""Engines get the very windows of the pipeline, and the best size of batches counts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import engine_windows

TEXTS = ["Ada Lovelace lives in Oslo.", "We met Grace.", " ".join(["bank"] * 700)]


class Stub:
    """An engine that notes what it gets."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, Any]] = []

    def forward(self, ids: Any, mask: Any) -> None:
        self.given.append((ids, mask))


def list_sequences(batches: list[tuple[Any, Any]]) -> list[list[int]]:
    """The ids of each window."""
    rows = [row[real > 0] for ids, mask in batches for row, real in zip(ids, mask, strict=True)]
    return [row.tolist() for row in rows]


def test_engines_get_the_windows_of_the_pipeline() -> None:
    nlp = engine_windows.load_in("en_transformer_sm", "fp32")
    windows = engine_windows.find_windows(nlp, TEXTS)
    own = [(b.ids.numpy(), b.mask.numpy()) for one in windows for b in one.batches]
    stub = Stub()
    shims = {"fp32": engine_windows.find_shim(nlp)}
    ways = engine_windows.list_ways(shims, {"stub fp32": stub}, windows)
    assert list(ways) == [("ctxemb fp32", None), *(("stub fp32", n) for n in engine_windows.SIZES)]
    for (_, size), run in ways.items():
        stub.given.clear()
        vectors = run()
        if size is None:
            top = vectors[0].vectors[:5].numpy()
            np.testing.assert_allclose(top, nlp(TEXTS[0]).tensor[:5], rtol=1e-4, atol=1e-5)
            continue
        found = list_sequences(stub.given)
        assert [len(ids) for ids in found] == sorted(map(len, list_sequences(own)), reverse=True)
        assert sorted(found) == sorted(list_sequences(own))
        assert max(len(ids) for ids, _ in stub.given) <= size
        assert all((ids[mask == 0] == 0).all() for ids, mask in stub.given)


def test_the_best_size_is_told() -> None:
    seconds = {("a", None): [1.0, 4.0, 2.0], ("b", 4): [5.0] * 3, ("b", 8): [1.0, 2.0, 2.0]}
    assert engine_windows.summarise(seconds, 100) == [
        {"way": "a", "windows a batch": None, "words/s": 50, "range": [25, 100]},
        {"way": "b", "windows a batch": 8, "words/s": 50, "range": [50, 100]},
    ]


def test_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = Stub()
    monkeypatch.setattr(engine_windows, "check_installed", lambda: None)
    monkeypatch.setattr(engine_windows, "load_engines", lambda nlp, threads: {"stub fp32": stub})
    (tmp_path / "text.txt").write_text("The otters slept.\n" * 400, encoding="utf8")
    engine_windows.main(tmp_path / "text.txt", "en_transformer_sm", words=50, rounds=1, threads=1)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [*(f"ctxemb {precision}" for precision in engine_windows.OURS), "stub fp32"]
    assert [(line["texts"], line["way"]) for line in lines] == [
        (kind, name) for kind in ("short", "long") for name in names
    ]
    assert all(line["words/s"] > 0 for line in lines)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], object] = {"onnxruntime": 1, "onnxscript": 1}.get
    monkeypatch.setattr(engine_windows, "find_spec", find)
    with pytest.raises(SystemExit, match=r"Not installed: openvino\. pip install openvino"):
        engine_windows.check_installed()
