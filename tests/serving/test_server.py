"""The port, the end of a server, and the whole command in a process of its own."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from spacy_ctxemb.serving import Settings, build_app
from spacy_ctxemb.serving import server as server_module
from spacy_ctxemb.serving.server import open_port

from ..search.index_of_few import build_pipeline
from .running import GO_ON, SEEN, build_hooked, httpx, running, wait_until


def test_a_port_that_is_taken() -> None:
    with open_port("127.0.0.1", 0) as opened:
        port = opened.getsockname()[1]
        with pytest.raises(ValueError, match=rf"E800\] 127.0.0.1 port {port}"):
            open_port("127.0.0.1", port)
    with pytest.raises(ValueError, match=r"E800\] no.such.host port 8000"):
        open_port("no.such.host", 8000)


def test_a_connection_sends_without_delay() -> None:
    with open_port("127.0.0.1", 0) as opened:
        with socket.create_connection(opened.getsockname()):
            accepted, _ = opened.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_server_that_is_told_to_end_answers_what_waits() -> None:
    with running(build_hooked(), drain=0.5) as server:
        blocking = server.embed_later("wait")
        wait_until(lambda: SEEN)
        waiting = server.embed_later("waits in the queue")
        wait_until(lambda: server.service.batcher.queue)
        server.server.handle_exit(signal.SIGTERM, None)
        answer = server.client.get("/ready")
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "E821"
        answer = server.client.get("/health")
        assert answer.status_code == 200 and answer.headers["Connection"] == "close"
        late = server.embed_later("late, while the port is open")
        wait_until(lambda: len(server.service.batcher.queue) == 2)
        wait_until(lambda: is_closed(server.port))
        GO_ON.set()
        found = [one.get() for one in (blocking, waiting, late)]
        assert [one.status_code for one in found] == [200, 200, 200]
        server.thread.join(20)
        assert not server.thread.is_alive()
        assert not server.service.batcher.thread.is_alive()


def test_a_second_signal_ends_at_once() -> None:
    with running(build_hooked(), drain=60.0) as server:
        blocking = server.embed_later("wait")
        wait_until(lambda: SEEN)
        for _ in range(2):
            server.server.handle_exit(signal.SIGTERM, None)
        server.thread.join(10)
        assert not server.thread.is_alive() and server.service.batcher.thread.is_alive()
        GO_ON.set()
        blocking.thread.join(20)


@pytest.mark.parametrize(
    ("host", "keys", "n"), [("0.0.0.0", (), 1), ("0.0.0.0", ("key",), 0), ("127.0.0.1", (), 0)]
)
def test_a_warning_where_others_can_ask(
    host: str, keys: tuple[str, ...], n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(server_module, "log_as_json", lambda: None)
    monkeypatch.setattr(server_module.logger, "warning", warnings.append)
    monkeypatch.setattr(
        server_module.DrainingServer, "run", lambda self, sockets: sockets[0].close()
    )
    app = build_app(build_pipeline(), Settings(api_keys=keys))
    app.state.service.batcher.close()
    server_module.run_server(app, host, 0, drain=0.0)
    assert len(warnings) == n


def is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_health_fails_where_the_model_can_no_more_answer() -> None:
    with running(build_pipeline()) as server:
        assert "Connection" not in server.client.get("/health").headers
        server.service.batcher.close()
        for path in ("/health", "/ready"):
            answer = server.client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "E821")


def test_an_application_within_another() -> None:
    outer = FastAPI()
    inner = build_app(build_pipeline(), Settings(api_keys=("key",)))
    outer.mount("/nlp", inner)
    with running(outer) as server:
        assert server.client.get("/nlp/health").status_code == 200
        assert server.post("/nlp/v1/embeddings", {"input": "a"}).status_code == 401
        headers = {"Authorization": "Bearer key"}
        answer = server.post("/nlp/v1/embeddings", {"input": "a"}, headers=headers)
        assert answer.status_code == 200
        found = inner.state.service.metrics.registry.get_sample_value
        labels = {"path": "/v1/embeddings", "status": "200"}
        wait_until(lambda: found("ctxemb_requests_total", labels) == 1)
        inner.state.service.batcher.close()


@contextmanager
def serving(pipeline: Path, *options: str) -> Iterator[tuple[Any, int]]:
    """The command, its process and port."""
    command = [sys.executable, "-W", "ignore", "-m", "spacy", "ctxemb", "serve", str(pipeline)]
    with subprocess.Popen(
        [*command, "--port", "0", "--threads", "1", *options],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            begun = next(line for line in process.stderr if '"serving"' in line)
            yield process, json.loads(begun)["port"]
        finally:
            process.kill()


@pytest.mark.slow
def test_the_command_ends_well_by_sigterm(tmp_path: Path) -> None:
    nlp = build_pipeline()
    nlp.to_disk(tmp_path / "pipeline")
    with serving(tmp_path / "pipeline", "--drain", "0.5") as (process, port):
        found: list[Any] = []
        url = f"http://127.0.0.1:{port}/v1/embeddings"

        def ask() -> None:
            with suppress(httpx.ConnectError):  # when the port is closed
                for i in range(10_000):
                    body = {"input": [f"a secret {i}"] * 50}
                    found.append(httpx.post(url, json=body, timeout=20))

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: len(found) > 2)
        process.send_signal(signal.SIGTERM)
        lines = process.stderr.read().splitlines()
        assert process.wait(20) == 0
        asking.join(20)
        assert not asking.is_alive() and len(found) < 10_000
        assert {answer.status_code for answer in found} == {200}
        row = found[0].json()["data"][0]["embedding"]
        np.testing.assert_allclose(row, nlp("a secret 0").vector, atol=1e-5)
        assert json.loads(lines[-1])["event"] == "ended"
        assert not any("secret" in line for line in lines)


@pytest.mark.slow
def test_the_command_begins_again_after_a_kill(tmp_path: Path) -> None:
    build_pipeline().to_disk(tmp_path / "pipeline")
    for _ in range(3):
        with serving(tmp_path / "pipeline") as (process, port):
            url = f"http://127.0.0.1:{port}/v1/docs"
            assert httpx.post(url, json={"input": "a"}, timeout=20).status_code == 200
            process.kill()
