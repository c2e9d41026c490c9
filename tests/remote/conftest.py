"""A hub on loopback, a cache of its own, and a guard that no test reaches anything else."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from spacy_ctxemb.remote import download_file

from .hub import Hub, point_at

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever opens a connection to another machine, or asks for its address, fails."""
    connect, find = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] in LOOPBACK, address
        connect(self, address)

    def guarded_find(host: Any, *arguments: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        assert name in LOOPBACK, name
        return find(host, *arguments, **named)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_find)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch, only_loopback: None) -> None:
    """Whatever opens a connection fails."""

    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError(f"a socket is opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without models. What is downloaded lies in tmp_path / "cache"."""
    with Hub() as hub:
        point_at(hub, tmp_path, monkeypatch)
        monkeypatch.setattr(download_file, "PAUSE", 0.0)
        yield hub
        huggingface_hub.close_session()
