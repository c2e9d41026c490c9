"""Requests that cannot be answered: the status, the code, and that others do not suffer."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb.serving import build_app, service
from spacy_ctxemb.serving.bodies import EmbeddingsRequest
from spacy_ctxemb.serving.gate import PAUSE
from spacy_ctxemb.serving.json_log import JsonLines

from ..pipelines import BILM, initialised
from ..search.index_of_few import build_pipeline
from .running import GO_ON, SEEN, Running, build_hooked, httpx, running, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    nlp = build_pipeline()
    nlp.remove_pipe("sentencizer")
    nlp.max_length = 1000
    with running(nlp, max_bytes=5000, max_texts=3, queue_size=3, timeout=1.0) as server:
        yield server


@pytest.fixture
def hooked() -> Iterator[Running]:
    with running(build_hooked(), batch_tokens=100, queue_size=4, max_texts=4) as server:
        yield server


def check(answer: Any, status: int, code: str) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"].startswith(f"[{code}] ")
    kind = "server_error" if status >= 500 else "invalid_request_error"
    assert error["type"] == kind and error["param"] is None


WRONG: list[tuple[str, Any, int, str]] = [
    ("/v1/embeddings", {}, 422, "E817"),
    ("/v1/embeddings", {"input": []}, 422, "E817"),
    ("/v1/embeddings", {"input": [1, 2]}, 422, "E817"),
    ("/v1/embeddings", {"input": ["a", 2, 3]}, 422, "E817"),
    ("/v1/embeddings", {"input": ["a" * 600, "b" * 600]}, 413, "E811"),
    ("/v1/embeddings", {"input": None}, 422, "E817"),
    ("/v1/embeddings", [], 422, "E817"),
    ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, 422, "E817"),
    ("/v1/embeddings", {"input": "a", "dimensions": 3}, 422, "E818"),
    ("/v1/embeddings", {"input": ["a"] * 4}, 422, "E812"),
    ("/v1/embeddings", {"input": "a" * 1001}, 422, "E706"),
    ("/v1/embeddings", {"input": ["a", "\ud800"]}, 422, "E707"),
    ("/v1/embeddings", {"input": "a" * 6000}, 413, "E811"),
    ("/v1/docs", {"input": "a", "fields": ["nothing"]}, 422, "E817"),
    ("/v1/docs", {"input": "One. Two.", "fields": ["sents"]}, 422, "E030"),
    ("/v1/tokens", {"input": {"a": 1}}, 422, "E817"),
    ("/embed", {"inputs": 3}, 422, "E817"),
    ("/nothing", {}, 404, "E819"),
    ("/health", {}, 405, "E819"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), WRONG)
def test_bad_requests(server: Running, path: str, body: Any, status: int, code: str) -> None:
    headers = {"Content-Type": "application/json"}
    check(server.client.post(path, content=json.dumps(body), headers=headers), status, code)


BODIES = [b"", b"{", b"\xff\xfe", b'{"input": NaN}', b"[" * 4000, b'"' * 9, b'{"input": 1e999}']


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-nothing", ""])
def test_bodies_that_are_no_json(server: Running, body: bytes, kind: str) -> None:
    headers = {"Content-Type": kind}
    check(server.client.post("/v1/docs", content=body, headers=headers), 422, "E817")


def test_what_is_wrong_is_said(server: Running) -> None:
    answer = server.client.post("/v1/docs", content=b'{"input": "a"}')
    assert "header Content-Type is not application/json" in answer.text
    for numbers in ([1, 2], [[1, 2]]):
        answer = server.post("/v1/embeddings", {"input": numbers})
        assert "numbers of tokens are not understood; send texts" in answer.text


def test_a_list_ends_at_its_first_error() -> None:
    with pytest.raises(ValidationError) as errors:
        EmbeddingsRequest(input=["a", *[1] * 50_000])
    assert errors.value.error_count() <= 3


def test_answers_of_too_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LARGEST", {"float": 160, "base64": 320})
    with running(build_pipeline()) as server:
        for path, text, n in (("/v1/tokens", "a " * 8, 1), ("/v1/embeddings", "a", 10)):
            for form, factor in (("float", 1), ("base64", 2)):
                body = {"input": [text] * n * factor, "encoding_format": form}
                assert server.post(path, body).status_code == 200
                check(server.post(path, {**body, "input": [text] * (n * factor + 1)}), 413, "E815")
        check(server.post("/embed", {"inputs": ["a"] * 11}), 413, "E815")


def test_paths_that_take_no_body_do_not_read_one() -> None:
    with running(build_pipeline(), api_keys=KEYS, queue_size=1, max_texts=1) as server:
        head = b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(head)
            assert connection.recv(10_000).startswith(b"HTTP/1.1 405")
        assert server.client.head("/health").status_code == 200


@pytest.mark.parametrize("order", [lambda docs: docs[::-1], lambda docs: [*docs[1:], docs[1]]])
def test_docs_in_another_order_are_not_taken_for_others(order: Any) -> None:
    nlp = build_pipeline()

    class Reorder:
        def __call__(self, doc: Doc) -> Doc:
            return doc

        def pipe(self, docs: Any, **settings: Any) -> Iterator[Doc]:
            found = [*docs]
            yield from order(found) if len(found) > 1 else found

    Language.component("serving_reorder", func=Reorder())
    nlp.add_pipe("serving_reorder")
    with running(nlp) as server:
        answer = server.embed("one", "two", "three")
    rows = [one["embedding"] for one in answer.json()["data"]]
    expected = [build_pipeline()(text).vector for text in ("one", "two", "three")]
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_a_text_does_not_come_back_in_an_error(server: Running) -> None:
    answer = server.post("/v1/embeddings", {"input": {"secret": "private"}})
    assert "secret" not in answer.text and "private" not in answer.text


def test_a_chunked_body_that_is_too_large(server: Running) -> None:
    chunks = (b" " * 1000 for _ in range(1000))
    check(server.client.post("/v1/docs", content=chunks), 413, "E811")


def test_a_client_that_sends_on_sees_why_it_was_refused(server: Running) -> None:
    for _ in range(5):
        check(server.client.post("/v1/docs", content=b" " * 20_000_000), 413, "E811")


def test_a_body_that_does_not_come(server: Running) -> None:
    head = b"POST /v1/docs HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head)
        found = b""
        while not found.endswith(b"}}"):
            found += connection.recv(10_000)
    assert found.startswith(b"HTTP/1.1 408") and b"E813" in found


def test_one_text_that_fails_does_not_fail_others(hooked: Running) -> None:
    blocking = hooked.embed_later("wait")
    wait_until(lambda: SEEN)
    others = [hooked.embed_later(text) for text in ("one", "fail", "two")]
    wait_until(lambda: len(hooked.service.batcher.queue) == 3)
    GO_ON.set()
    assert blocking.get().status_code == 200
    statuses = [one.get().status_code for one in others]
    assert statuses == [200, 500, 200]
    check(others[1].get(), 500, "E816")
    assert "RuntimeError" in others[1].get().text
    (row,) = (one["embedding"] for one in others[2].get().json()["data"])
    np.testing.assert_allclose(row, build_pipeline()("two").vector, atol=1e-5)


def test_overload_is_refused_and_passes(hooked: Running) -> None:
    blocking = hooked.embed_later("wait")
    wait_until(lambda: SEEN)
    waiting = hooked.embed_later(*"abcd")
    wait_until(lambda: len(hooked.service.batcher.queue) == 4)
    start = time.monotonic()
    answer = hooked.post("/v1/embeddings", {"not": "read any more"})
    check(answer, 503, "E810")
    assert time.monotonic() - start >= PAUSE
    assert int(answer.headers["Retry-After"]) >= 1
    assert hooked.client.get("/ready").status_code == 200
    GO_ON.set()
    assert blocking.get().status_code == waiting.get().status_code == 200
    assert hooked.embed("one more").status_code == 200


def test_a_client_that_has_gone_is_dropped(hooked: Running) -> None:
    blocking = hooked.embed_later("wait")
    wait_until(lambda: SEEN)
    with pytest.raises(httpx.ReadTimeout):
        hooked.post("/v1/embeddings", {"input": ["gone", "also gone"]}, timeout=0.2)
    wait_until(lambda: not hooked.service.batcher.queue)
    later = hooked.embed_later("here")
    wait_until(lambda: hooked.service.batcher.queue)
    GO_ON.set()
    assert blocking.get().status_code == later.get().status_code == 200
    assert SEEN == ["wait", "here"]
    value = hooked.service.metrics.registry.get_sample_value
    labels = {"path": "/v1/embeddings", "status": "499"}
    wait_until(lambda: value("ctxemb_requests_total", labels) == 1)


def test_a_deadline_that_passes() -> None:
    with running(build_hooked(), timeout=0.3) as server:
        blocking = server.embed_later("wait")
        wait_until(lambda: SEEN)
        start = time.monotonic()
        check(server.embed("late"), 504, "E813")
        assert 0.2 < time.monotonic() - start < 5
        check(blocking.get(), 504, "E813")
        assert not server.service.batcher.queue
        GO_ON.set()
        wait_until(lambda: server.embed("one").status_code == 200)
        assert "late" not in SEEN


def test_too_many_open_requests() -> None:
    with running(build_pipeline(), queue_size=2, max_texts=2) as server:
        head = b"POST /v1/docs HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address) as one, socket.create_connection(address) as two:
            one.sendall(head), two.sendall(head)
            wait_until(lambda: server.embed("a").status_code == 503)
            assert server.client.get("/health").status_code == 200
        wait_until(lambda: server.embed("a").status_code == 200)


#: The last byte of the last one is white space in latin-1.
KEYS = ("first key", "zweiter-Schlüssel", "voilà")


@pytest.mark.parametrize("key", [None, "Bearer", "first", "first key2", "Basic first key", "é"])
def test_keys(key: str | None) -> None:
    with running(build_pipeline(), api_keys=KEYS) as server:
        value = key if key and key.startswith("B") else f"Bearer {key}"
        headers = {} if key is None else {"Authorization": value.encode("utf8")}
        for path in ("/metrics", "/nothing", "/v1/models"):
            answer = server.client.get(path, headers=headers)
            check(answer, 401, "E814")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        check(server.post("/v1/embeddings", {"input": "a"}, headers=headers), 401, "E814")
        for path in ("/health", "/ready", "/docs", "/openapi.json"):
            assert server.client.get(path).status_code == 200
        for right in KEYS:
            headers = {"Authorization": f"Bearer {right}".encode()}
            answer = server.post("/v1/embeddings", {"input": "a"}, headers=headers)
            assert answer.status_code == 200


def test_pages_of_other_sites() -> None:
    site = "https://example.org"
    asks = {"Origin": site, "Access-Control-Request-Method": "POST"}
    asks["Access-Control-Request-Headers"] = "authorization,content-type"
    with running(build_pipeline(), api_keys=KEYS, origins=(site,)) as server:
        answer = server.client.options("/v1/docs", headers=asks)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == site
        answer = server.post("/v1/docs", {"input": "a"}, headers={"Origin": site})
        assert answer.headers["Access-Control-Allow-Origin"] == site  # of an error, too
        assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
        other = {**asks, "Origin": "https://example.com"}
        assert server.client.options("/v1/docs", headers=other).status_code == 400
    with running(build_pipeline()) as server:
        answer = server.client.options("/v1/docs", headers=asks)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_logs_have_no_texts(hooked: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="spacy_ctxemb.serving")
    hooked.embed("a private text")
    hooked.embed("a private text that will fail")
    hooked.client.get("/private?text=private")
    # A client may have its answer before the server has logged it.
    wait_until(lambda: sum(x.getMessage() == "request" for x in caplog.records) == 3)
    records = [x for x in caplog.records if x.name == "spacy_ctxemb.serving"]
    lines = [JsonLines().format(record) for record in records]
    assert not any("private" in line for line in lines)
    rows = [json.loads(line) for line in lines]
    requests = [(x["path"], x["status"], x["texts"]) for x in rows if x["event"] == "request"]
    assert requests == [("/v1/embeddings", 200, 1), ("/v1/embeddings", 500, 0), ("other", 404, 0)]
    (failed,) = (x for x in rows if x["event"] == "a text failed")
    assert failed["error"] == "RuntimeError" and failed["at"].startswith("running.py:")


def test_an_error_of_the_server_itself(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any, **settings: Any) -> Any:
        raise KeyError("private")

    monkeypatch.setattr(server.service, "answer", fail)
    check(server.embed("a"), 500, "E816")
    wait_until(lambda: any(x.exc_info for x in caplog.records))
    record = next(x for x in caplog.records if x.exc_info)
    row = json.loads(JsonLines().format(record))
    assert row["error"] == "KeyError" and "private" not in json.dumps(row)


def test_a_pipeline_that_fails() -> None:
    nlp = build_pipeline()
    nlp.add_pipe("serving_failure")
    with pytest.raises(ValueError, match=r"E803.*always"):
        build_app(nlp)


def test_messages_of_asyncio_quote_nothing() -> None:
    message = "Exception in callback f('private')"
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, message, None, None)
    assert "private" not in JsonLines().format(record)


@Language.component("serving_failure")
def always_fail(doc: Any) -> Any:
    raise RuntimeError("always")


@pytest.mark.parametrize(
    ("part", "setting"), [("encoder", {"stateful": True}), ("mix", {"layer_norm": "batch"})]
)
def test_vectors_that_depend_on_who_else_asks(part: str, setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="E725"):
        build_app(initialised({**BILM, part: {**BILM[part], **setting}}))


def test_vectors_that_are_removed() -> None:
    nlp = build_pipeline()
    cleaner = nlp.add_pipe("doc_cleaner")
    check_no_vectors(nlp)
    nlp.remove_pipe("doc_cleaner")
    Language.component("serving_cleaner", assigns=["doc.tensor"], func=cleaner)
    nlp.add_pipe("serving_cleaner")
    check_no_vectors(nlp)


def check_no_vectors(nlp: Language) -> None:
    with running(nlp) as server:
        check(server.embed("a"), 422, "E704")
        check(server.post("/v1/tokens", {"input": "a"}), 422, "E704")
        assert server.post("/v1/docs", {"input": "a"}).status_code == 200
