"""A small Hugging Face Hub on loopback, with the protocol that huggingface_hub speaks.

with Hub() as hub:
    hub.add("owner/name", {"config.json": b"{}"})
    ...  # with huggingface_hub's ENDPOINT set to hub.url
"""

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

TOKEN = "hf_of_the_tests"

RESOLVE = re.compile(r"/(?P<name>[\w.-]+(/[\w.-]+)?)/resolve/(?P<revision>[\w.-]+)/(?P<path>.+)")
API = re.compile(
    r"/api/models/(?P<name>[\w.-]+(/[\w.-]+)?)"
    r"(/(?P<what>revision|tree)/(?P<revision>[\w.-]+))?/?"
)


class Repository:
    """commits: their files by their hashes, the newest last. branches: hashes by names."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.is_gated = self.is_private = False

    def find(self, revision: str) -> str | None:
        revision = self.branches.get(revision, revision)
        return revision if revision in self.commits else None


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]


class Hub:
    """Repositories, and what went wrong on purpose.

    failures: how many of the next requests are answered by a status, by a part of their paths.
    cuts: bytes after which an answer breaks off, and how often, by a part of the path.
    has_ranges: whether parts of a file can be asked for. parts_begin_at: where they begin, whatever
    was asked for; None for there.
    files: by their paths, beside the repositories. changes: what they are from the next request.
    redirects: addresses by paths.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.failures: dict[str, list[int]] = {}
        self.cuts: dict[str, tuple[int, int]] = {}
        self.has_ranges = True
        self.parts_begin_at: int | None = None
        self.files: dict[str, bytes] = {}
        self.changes: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (Handler,), {"hub": self}))
        self.server.daemon_threads = True

    def __enter__(self) -> "Hub":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, name: str, files: Mapping[str, bytes] | Path, *, branch: str = "main") -> str:
        """Make a commit, and return its hash. files: by their names, or in a folder."""
        if isinstance(files, Path):
            files = {
                path.relative_to(files).as_posix(): path.read_bytes()
                for path in files.rglob("*")
                if path.is_file()
            }
        repository = self.repositories.setdefault(name, Repository())
        commit = hashlib.sha1(f"{name}{branch}{len(repository.commits)}".encode()).hexdigest()
        repository.commits[commit] = dict(files)
        repository.branches[branch] = commit
        return commit

    def downloaded(self) -> list[str]:
        """The names of the files that were asked for."""
        found = [RESOLVE.fullmatch(r.path) for r in self.requests if r.method in ("GET", "HEAD")]
        return sorted({match["path"] for match in found if match})


def point_at(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub ask this hub, without a token, and keep what it gets in a folder."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no_token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("SPACY_CTXEMB_CACHE", str(folder / "files"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.hub.requests.append(Request(self.command, path, headers))
        for part, statuses in self.hub.failures.items():
            if part in path and statuses:
                return self.refuse(statuses.pop(0))
        if path in self.hub.redirects:
            return self.send(302, b"", {"Location": self.hub.redirects[path]})
        if path in self.hub.files:
            data = self.hub.files[path]
            self.hub.files[path] = self.hub.changes.pop(path, data)
            return self.send(200, data, {"ETag": f'"{hashlib.md5(data).hexdigest()}"'})
        if path.startswith("/cdn/"):
            return self.send_blob(path.removeprefix("/cdn/"))
        if match := API.fullmatch(path):
            return self.send_api(match["name"], match["what"], match["revision"])
        if match := RESOLVE.fullmatch(path):
            return self.send_file(match["name"], match["revision"], match["path"])
        return self.refuse(404)

    def find(self, name: str, revision: str | None) -> str | None:
        """The commit that is meant; None where an error was sent."""
        repository = self.hub.repositories.get(name)
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository.is_private and not is_known):
            self.refuse(401, "RepoNotFound", "Repository not found")
            return None
        commit = repository.find(revision or "main")
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif repository.is_gated and not is_known and "/resolve/" in self.path:
            self.refuse(401, "GatedRepo", "Access to this model is restricted.")
            return None
        return commit

    def send_api(self, name: str, what: str | None, revision: str | None) -> None:
        commit = self.find(name, revision)
        if commit is None:
            return
        files = self.hub.repositories[name].commits[commit]
        data: Any = {
            "_id": "0",
            "id": name,
            "modelId": name,
            "sha": commit,
            "private": False,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in files],
        }
        if what == "tree":
            data = [describe(path, content) for path, content in files.items()]
        self.send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def send_file(self, name: str, revision: str, path: str) -> None:
        commit = self.find(name, revision)
        if commit is None:
            return
        content = self.hub.repositories[name].commits[commit].get(path)
        headers = {"X-Repo-Commit": commit}
        if content is None:
            return self.refuse(404, "EntryNotFound", "Entry not found", headers)
        if not is_large(path):
            headers["ETag"] = f'"{hashlib.sha1(content).hexdigest()}"'
            return self.send(200, content, headers)
        sha = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(content))}
        headers["Location"] = f"http://localhost:{self.hub.port}/cdn/{sha}"
        return self.send(302, b"", headers)

    def send_blob(self, sha: str) -> None:
        for repository in self.hub.repositories.values():
            for files in repository.commits.values():
                for content in files.values():
                    if hashlib.sha256(content).hexdigest() == sha:
                        return self.send(200, content, {"ETag": f'"{sha}"'})
        return self.refuse(404)

    def send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        """An answer, a part of it where that is asked for; it may break off."""
        headers = dict(headers)
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        is_same = self.headers.get("If-Range") in (None, headers.get("ETag"))
        if begin and status == 200 and self.hub.has_ranges and is_same:
            total, start = len(content), int(begin[1])
            start = start if self.hub.parts_begin_at is None else self.hub.parts_begin_at
            content, status = content[start:], 206
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for part, (n_bytes, times) in self.hub.cuts.items():
            if part in self.path and times and len(content) > n_bytes:
                self.hub.cuts[part] = (n_bytes, times - 1)
                content = content[:n_bytes]
                self.close_connection = True
        self.wfile.write(content)

    def refuse(
        self,
        status: int,
        code: str | None = None,
        message: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        errors = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self.send(status, b"", {**(headers or {}), **errors})


def is_large(path: str) -> bool:
    """Whether the hub keeps a file in LFS."""
    return path.endswith((".safetensors", ".bin", ".hdf5"))


def describe(path: str, content: bytes) -> dict[str, Any]:
    """An entry of a tree."""
    found: dict[str, Any] = {
        "type": "file",
        "oid": hashlib.sha1(content).hexdigest(),
        "size": len(content),
        "path": path,
    }
    if is_large(path):
        sha = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 130}
    return found
