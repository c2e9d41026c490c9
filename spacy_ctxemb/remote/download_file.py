"""Files at addresses: downloaded once, into a cache of their own, whole or not at all."""

import hashlib
import os
import re
import sys
import time
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import requests
from tqdm import tqdm

from ..atomic_files import replacing
from ..errors import Errors
from ..read_files import describe
from .find_model import Found

#: Attempts in a row that bring no byte, and seconds between them.
TRIES, PAUSE = 4, 1.0

#: Seconds to wait for a connection, and for more bytes.
TIMEOUT = (10, 60)

#: Bytes that are read at once; fewer are lost where a connection breaks off.
BLOCK = 2**16

#: Hosts that may be asked without encryption.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def download_file(address: str) -> Found:
    """The file at an address, from the cache where it is there.

    address: of https; "#sha256=HEX" at its end is the checksum that the file must have.
    Raises E375 for a download that broke off, E376 for another checksum, E378 for an address that
    cannot be used, E164 for a full disk.

        download_file("https://example.org/weights.hdf5").path
    """
    url, wanted = split_checksum(address)
    check_scheme(url)
    path = choose_path(url)
    found = compute_sha256(path) if path.is_file() else None
    if found is None or wanted not in (None, found):
        with replacing(path) as temporary:
            fetch(url, temporary)
            found = compute_sha256(temporary)
            if wanted not in (None, found):
                raise ValueError(Errors.E376.format(address=url, found=found, expected=wanted))
    return Found(path, url, f"sha256:{found}")


def split_checksum(address: str) -> tuple[str, str | None]:
    """An address without what follows #, and the checksum that this asks for."""
    url, _, fragment = address.partition("#")
    if not fragment:
        return url, None
    match = re.fullmatch("sha256=([0-9a-f]{64})", fragment.lower())
    if match is None:
        reason = "what follows # is not sha256= and 64 digits from 0 to f"
        raise ValueError(Errors.E378.format(address=address, reason=reason))
    return url, match[1]


def check_scheme(url: str) -> None:
    """Raise E378 unless the address is one of https, or of this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        reason = "only addresses that begin with https:// are used"
        raise ValueError(Errors.E378.format(address=url, reason=reason))


def choose_path(url: str) -> Path:
    """Where the cache has the file of an address."""
    base = re.sub(r"[^\w.-]", "_", PurePosixPath(unquote(urlsplit(url).path)).name)[-100:]
    return find_cache() / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{base}"


def find_cache() -> Path:
    """The folder of the cache: SPACY_CTXEMB_CACHE, or one where the system keeps caches."""
    if given := os.environ.get("SPACY_CTXEMB_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "spacy_ctxemb"


class OnlyLoopback(requests.adapters.HTTPAdapter):
    """Refuses addresses without encryption, also those that https:// redirects to."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        check_scheme(str(request.url))
        return super().send(request, *args, **kwargs)


def fetch(url: str, path: Path) -> None:
    """Download a file, and go on where the connection breaks off, if the server can."""
    with (
        requests.Session() as session,
        path.open("wb") as file,
        tqdm(unit="B", unit_scale=True, disable=None, desc=path.name[-40:]) as bar,
    ):
        session.mount("http://", OnlyLoopback())
        tag, n_failures = None, 0
        while True:
            before = file.tell()
            try:
                with ask(session, url, file, tag) as response:
                    check_status(response, url)
                    tag = response.headers.get("ETag")
                    receive(response, file, bar)
                return
            except requests.RequestException as error:
                n_failures = 1 if file.tell() > before else n_failures + 1
                if n_failures == TRIES:
                    message = Errors.E375.format(source=url, reason=describe(error))
                    raise ConnectionError(message) from error
                time.sleep(PAUSE)


def ask(session: requests.Session, url: str, file: IO[bytes], tag: str | None) -> requests.Response:
    """Ask for the rest of a file, if it is still the one of this tag."""
    headers = {"Accept-Encoding": "identity"}
    if file.tell() and tag:
        headers |= {"Range": f"bytes={file.tell()}-", "If-Range": tag}
    return session.get(url, headers=headers, stream=True, timeout=TIMEOUT)


def check_status(response: requests.Response, url: str) -> None:
    """Raise E378 where the server refuses, HTTPError for what may go well the next time."""
    reason = f"the server answers {response.status_code} {response.reason}"
    if response.status_code >= 500:
        raise requests.HTTPError(reason)
    if response.status_code not in (200, 206):
        raise ValueError(Errors.E378.format(address=url, reason=reason))


def receive(response: requests.Response, file: IO[bytes], bar: "tqdm[Any]") -> None:
    """Write what the server sends: the rest of the file where it can, else all of it again."""
    if not response.headers.get("Content-Range", "").startswith(f"bytes {file.tell()}-"):
        file.seek(0)
        file.truncate()
    bar.n = file.tell()
    bar.total = bar.n + int(response.headers.get("Content-Length", 0)) or None
    for block in response.iter_content(BLOCK):
        file.write(block)
        bar.update(len(block))


def compute_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
