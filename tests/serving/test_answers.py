"""What the paths answer, against the same pipeline called directly."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language

from ..pipelines import TEXTCAT_DATA, TRANSFORMER, examples, initialised
from ..search.index_of_few import build_pipeline
from .running import Later, Running, running

TEXTS = [
    "Otters slept on the bank. They were wet.",
    "",
    "one",
    "We met Grace. " * 9,
    " ",
    "né 日本",
]


@pytest.fixture(scope="module")
def nlp() -> Language:
    return build_pipeline()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    nlp = build_pipeline()
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "ANIMAL", "pattern": "Otters"}])
    with running(nlp, name="tiny") as server:
        yield server


def decode(text: str, width: int) -> Any:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(-1, width)


@pytest.mark.parametrize("encoding_format", [None, "float", "base64"])
def test_vectors_of_texts(server: Running, nlp: Language, encoding_format: str) -> None:
    body = {"input": TEXTS, "model": None, "encoding_format": encoding_format}
    answer = server.post("/v1/embeddings", body).json()
    rows = [one["embedding"] for one in answer["data"]]
    if encoding_format == "base64":
        rows = [decode(row, 16)[0] for row in rows]
    docs = [nlp(text) for text in TEXTS]
    np.testing.assert_allclose(rows, [doc.vector for doc in docs], atol=1e-5)
    n = sum(map(len, docs))
    assert answer["usage"] == {"prompt_tokens": n, "total_tokens": n}
    assert answer["model"] == "tiny" and answer["object"] == "list"
    assert [one["index"] for one in answer["data"]] == [*range(len(TEXTS))]


def test_vectors_do_not_depend_on_who_else_asks(server: Running, nlp: Language) -> None:
    texts = [f"Otters number {i} slept on the bank {'of it ' * (i % 5)}" for i in range(40)]
    asked = [Later(lambda text=text: server.embed(text)) for text in texts]  # type: ignore[misc]
    rows = [one.get().json()["data"][0]["embedding"] for one in asked]
    np.testing.assert_allclose(rows, [nlp(text).vector for text in texts], atol=1e-5)
    found = server.service.metrics.registry.get_sample_value
    assert found("ctxemb_batch_texts_sum") > found("ctxemb_batch_texts_count")


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_vectors_of_tokens(server: Running, nlp: Language, encoding_format: str) -> None:
    body = {"input": TEXTS, "encoding_format": encoding_format}
    for text, found in zip(TEXTS, server.post("/v1/tokens", body).json()["data"], strict=True):
        doc, rows = nlp(text), found["embeddings"]
        assert [text[x["start"] : x["end"]] for x in found["tokens"]] == [x.text for x in doc]
        if encoding_format == "base64":
            rows = decode(rows, 16)
        np.testing.assert_allclose(np.reshape(rows, (-1, 16)), doc.tensor, atol=1e-5)


def test_normalized_vectors(server: Running, nlp: Language) -> None:
    vectors = np.stack([nlp(text).vector for text in TEXTS])
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows = server.post("/embed", {"inputs": TEXTS}).json()
    np.testing.assert_allclose(rows, vectors / norms, atol=1e-5)
    row = server.post("/embed", {"inputs": TEXTS[0], "normalize": False}).json()
    np.testing.assert_allclose(row, vectors[:1], atol=1e-5)


def test_documents(server: Running) -> None:
    fields = ["ents", "sents", "tokens", "cats"]
    body = {"input": [TEXTS[0], ""], "fields": fields}
    first, second = server.post("/v1/docs", body).json()["docs"]
    assert [*first] == fields
    entity = {"text": "Otters", "start": 0, "end": 6, "label": "ANIMAL", "id": ""}
    assert first["ents"] == [entity]
    assert [(x["start"], x["end"]) for x in first["sents"]] == [(0, 25), (26, 40)]
    assert [x["text"] for x in first["tokens"]][:2] == ["Otters", "slept"]
    assert second == {"ents": [], "sents": [], "tokens": [], "cats": {}}
    assert [*server.post("/v1/docs", {"input": "one"}).json()["docs"][0]] == ["ents", "cats"]


def test_categories() -> None:
    nlp = initialised(TRANSFORMER)
    model = {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True, "length": 100}
    model |= {"ngram_size": 1, "no_output_layer": False}
    pipe = nlp.add_pipe("textcat", config={"model": model})
    pipe.initialize(lambda: examples(nlp, TEXTCAT_DATA), nlp=nlp)  # type: ignore[attr-defined]
    expected = nlp("My loan was refused.").cats
    with running(nlp) as server:
        (found,) = server.post("/v1/docs", {"input": "My loan was refused."}).json()["docs"]
    assert found["cats"] == pytest.approx(expected, abs=1e-5)


def test_what_is_not_asked_for_does_not_run(server: Running) -> None:
    assert server.service.disable == ("entity_ruler",)


def test_a_pipeline_without_vectors_has_documents() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    with running(nlp) as server:
        body = {"input": "One. Two.", "fields": ["sents"]}
        (found,) = server.post("/v1/docs", body).json()["docs"]
        assert len(found["sents"]) == 2
        for path, body in (("/v1/embeddings", {"input": "a"}), ("/embed", {"inputs": "a"})):
            answer = server.post(path, body)
            assert answer.status_code == 422
            assert answer.json()["error"]["code"] == "E700"


def test_the_one_model(server: Running) -> None:
    (model,) = server.client.get("/v1/models").json()["data"]
    assert model["id"] == "tiny"


def test_metrics(server: Running) -> None:
    server.embed("two words")
    server.client.get("/nothing")
    text = server.client.get("/metrics").text
    assert 'ctxemb_requests_total{path="/v1/embeddings",status="200"}' in text
    assert 'ctxemb_requests_total{path="other",status="404"}' in text
    for name in ("request_seconds_bucket", "queue_texts 0.0", "batch_texts_count", "words_total"):
        assert f"ctxemb_{name}" in text


def test_the_page_of_paths(server: Running) -> None:
    assert server.client.get("/docs").status_code == 200
    paths = server.client.get("/openapi.json").json()["paths"]
    found = {"/v1/docs", "/v1/embeddings", "/v1/tokens", "/embed", "/v1/models"}
    assert {*paths} == found | {"/health", "/ready", "/metrics"}
