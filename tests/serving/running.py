"""Servers on loopback, and a pipeline that can be told to wait and to fail."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from spacy.language import Language
from spacy.tokens import Doc

from ..search.index_of_few import build_pipeline

pytest.importorskip("fastapi", reason="fastapi is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")

from spacy_ctxemb.serving import Settings, build_app  # noqa: E402 (after what it needs)
from spacy_ctxemb.serving.server import DrainingServer, open_port  # noqa: E402

#: What went through the pipeline, and what lets it go on.
SEEN: list[str] = []
GO_ON = threading.Event()


@Language.component("serving_hook")
def hook(doc: Doc) -> Doc:
    SEEN.append(doc.text)
    if "wait" in doc.text:
        assert GO_ON.wait(20)
    if "fail" in doc.text:
        raise RuntimeError(doc.text)
    return doc


def build_hooked() -> Language:
    """A text with "wait" waits for GO_ON, one with "fail" fails."""
    nlp = build_pipeline()
    nlp.add_pipe("serving_hook")
    GO_ON.clear()
    return nlp


class Running:
    """A server in a thread of this process."""

    def __init__(self, app: Any, drain: float) -> None:
        opened = open_port("127.0.0.1", 0)
        self.port = opened.getsockname()[1]
        self.app, self.service = app, getattr(app.state, "service", None)
        config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
        self.server = DrainingServer(config, self.service, drain)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [opened]})
        self.thread.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def post(self, path: str, body: Any, **settings: Any) -> Any:
        return self.client.post(path, json=body, **settings)

    def embed(self, *texts: str) -> Any:
        return self.post("/v1/embeddings", {"input": [*texts]})

    def embed_later(self, *texts: str) -> "Later":
        return Later(lambda: self.embed(*texts))


class Later:
    """What a thread of its own makes of a function."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.result: Any = None
        self.thread = threading.Thread(target=self.run, args=(function,))
        self.thread.start()

    def run(self, function: Callable[[], Any]) -> None:
        self.result = function()

    def get(self) -> Any:
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.result


@contextmanager
def running(nlp: Any, *, drain: float = 0.0, **settings: Any) -> Iterator[Running]:
    """nlp: a pipeline to serve, or an application."""
    app = build_app(nlp, Settings(**settings)) if isinstance(nlp, Language) else nlp
    SEEN.clear()  # of what was computed before the first request
    server = Running(app, drain)
    try:
        yield server
    finally:
        GO_ON.set()
        server.server.should_exit = True
        server.client.close()
        server.thread.join(30)
        assert not server.thread.is_alive()


def wait_until(is_so: Callable[[], Any]) -> None:
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.002)
