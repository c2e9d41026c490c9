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
from ..read_files import compute_sha256, describe
from .find_model import Found, hide_secrets, hide_secrets_in

#: Attempts in a row that bring no byte, and seconds between them.
TRIES, PAUSE = 4, 1.0

#: Seconds to wait for a connection, and for more bytes.
TIMEOUT = (10, 60)

#: Bytes that are read at once; fewer are lost where a connection breaks off.
BLOCK = 2**16

#: The part of a file that a server sends.
CONTENT_RANGE = re.compile(r"bytes (?P<begin>\d+)-\d+/(?P<size>\d+|\*)")

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
    check_scheme(url, first=url)
    path = choose_path(url)
    found = compute_sha256(path) if path.is_file() else None
    if found is None or wanted not in (None, found):
        with replacing(path) as temporary:
            fetch(url, temporary)
            found = compute_sha256(temporary)
            if wanted not in (None, found):
                shown = hide_secrets(url)
                raise ValueError(Errors.E376.format(address=shown, found=found, expected=wanted))
    return Found(path, hide_secrets(url), f"sha256:{found}")


def split_checksum(address: str) -> tuple[str, str | None]:
    """An address without what follows #, and the checksum that this asks for."""
    url, _, fragment = address.partition("#")
    if not fragment:
        return url, None
    match = re.fullmatch("sha256=([0-9a-f]{64})", fragment.lower())
    if match is None:
        reason = "what follows # is not sha256= and 64 digits from 0 to f"
        raise ValueError(Errors.E378.format(address=hide_secrets(address), reason=reason))
    return url, match[1]


def check_scheme(url: str, *, first: str) -> None:
    """Raise E378 unless the address is one of https, or of this machine.

    first: where the download began. What is elsewhere must not redirect to this machine.
    """
    is_here = all(urlsplit(one).hostname in LOOPBACK for one in (url, first))
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and is_here):
        reason = "only addresses that begin with https:// are used"
        raise ValueError(Errors.E378.format(address=hide_secrets(url), reason=reason))


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
    """Refuses addresses without encryption, also those that the first one redirects to."""

    def __init__(self, first: str) -> None:
        super().__init__()
        self.first = first

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        check_scheme(str(request.url), first=self.first)
        return super().send(request, *args, **kwargs)


def fetch(url: str, path: Path) -> None:
    """Download a file, and go on where the connection breaks off, if the server can."""
    with (
        requests.Session() as session,
        path.open("wb") as file,
        tqdm(unit="B", unit_scale=True, disable=None, desc=path.name[-40:]) as bar,
    ):
        session.mount("http://", OnlyLoopback(url))
        tag, n_failures = None, 0
        while True:
            before = file.tell()
            try:
                with ask(session, url, file, tag) as response:
                    check_status(response, url)
                    # What is packed for the way cannot be continued: its bytes are others.
                    is_packed = "Content-Encoding" in response.headers
                    tag = None if is_packed else response.headers.get("ETag")
                    receive(response, file, bar)
                return
            except requests.RequestException as error:
                n_failures = 1 if file.tell() > before else n_failures + 1
                if n_failures == TRIES:
                    reason = hide_secrets_in(describe(error))
                    message = Errors.E375.format(source=hide_secrets(url), reason=reason)
                    raise ConnectionError(message) from None  # its message has the whole address
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
        raise ValueError(Errors.E378.format(address=hide_secrets(url), reason=reason))


def receive(response: requests.Response, file: IO[bytes], bar: "tqdm[Any]") -> None:
    """Write what the server sends: the rest of the file where it can, else all of it again.

    Raises RequestException for fewer bytes than announced, which urllib3 1 lets pass, and for
    another part of the file than the rest.
    """
    begin = file.tell()
    part = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    is_rest = part is not None and int(part["begin"]) == begin
    if not is_rest or response.status_code != 206:
        file.seek(0)
        file.truncate()
    if not is_rest and response.status_code == 206:
        raise requests.RequestException("the server sends another part than was asked for")
    n_bytes = int(response.headers.get("Content-Length", 0))
    bar.n = file.tell()
    bar.total = bar.n + n_bytes or None
    for block in response.iter_content(BLOCK):
        file.write(block)
        bar.update(len(block))
    n_received = response.raw.tell()
    if n_received < n_bytes:
        raise requests.RequestException(f"{n_received} bytes came of {n_bytes}")
    size = part["size"] if part is not None and response.status_code == 206 else "*"
    if size != "*" and file.tell() < int(size):
        raise requests.RequestException(f"{file.tell()} bytes came of {size}")
