"""The benchmark of the service, for moments, on a tiny pipeline."""

import subprocess
from typing import Any

import pytest

from ..search.index_of_few import build_pipeline
from ..serving.running import running
from .serving_load import Path, ask, find_port, make_texts, read_memory

TEXTS = ["Otters slept on the bank.", "They were wet."]


def test_clients_count_what_comes_back() -> None:
    nlp = build_pipeline()
    expected = [nlp(text).vector.tolist() for text in TEXTS]
    settings: dict[str, Any] = {"texts": TEXTS, "clients": 3, "seconds": 0.3, "warm_up": 0.1}
    with running(build_pipeline()) as server:
        found = ask(port=server.port, expected=expected, **settings)
        assert found["rate"] > 0 and found["wrong"] == 0 and [*found["statuses"]] == ["200"]
        assert 0 < found["p50"] <= found["p95"] <= found["p99"]
        assert ask(port=server.port, expected=expected[::-1], **settings)["wrong"] > 0
        found = ask(port=server.port, texts=TEXTS, expected=expected, rate=20.0, seconds=0.5)
        assert found["wrong"] == 0
        assert 5 <= found["statuses"]["200"] <= 11
    found = ask(port=find_port(), expected=expected, **settings)
    assert [*found["statuses"]] == ["ConnectionRefusedError"] and found["rate"] == 0


def test_texts_and_memory() -> None:
    texts = make_texts(Path("tests/corpus"), 50)
    assert texts == make_texts(Path("tests/corpus"), 50)
    assert all(5 <= len(text.split()) <= 60 for text in texts)
    with subprocess.Popen(["sleep", "5"]) as process:
        assert 0 < read_memory(process.pid) < 100
        process.kill()


@pytest.mark.slow
def test_the_server_of_the_contestant_has_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    import spacy

    from .serving_peer import write_minilm

    write_minilm(tmp_path)
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": "minilm"})
    assert (tmp_path / "model.safetensors").exists() and nlp("a").vector.shape == (384,)
