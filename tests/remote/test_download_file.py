"""Files at addresses."""

import hashlib
import json
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

import spacy_ctxemb
from spacy_ctxemb.remote.download_file import OnlyLoopback, ask, download_file, find_cache
from spacy_ctxemb.remote.find_model import find_file, find_folder

from ..cli.command import run, run_well
from ..elmo_models import write_model
from .hub import Hub

DATA = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def address(hub: Hub) -> str:
    hub.files["/some/weights.hdf5"] = DATA
    return f"{hub.url}/some/weights.hdf5"


def refuse(message: str, address: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        download_file(address)
    assert not any(path.is_file() for path in find_cache().rglob("*"))


def test_a_file_is_downloaded_once(hub: Hub, address: str) -> None:
    found = find_file(address)
    assert found.path.read_bytes() == DATA and found.path.name.endswith("-weights.hdf5")
    assert (found.source, found.revision) == (address, f"sha256:{SHA256}")
    assert find_file(address) == found and len(hub.requests) == 1


def test_a_checksum_that_is_required(hub: Hub, address: str) -> None:
    refuse(
        rf"\[E376\] {address} has the SHA-256 {SHA256}, not {'0' * 64}",
        f"{address}#sha256={'0' * 64}",
    )
    refuse(r"\[E378\] .* what follows # is not sha256=", f"{address}#md5=123")
    found = download_file(f"{address}#sha256={SHA256.upper()}")
    assert found.source == address


def test_a_cached_file_of_another_checksum_is_replaced(hub: Hub, address: str) -> None:
    found = download_file(address)
    found.path.write_bytes(b"damaged")
    assert download_file(f"{address}#sha256={SHA256}").path.read_bytes() == DATA


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_download_that_breaks_off_goes_on(hub: Hub, address: str, has_ranges: bool) -> None:
    hub.has_ranges = has_ranges
    hub.cuts["/some/"] = (300_000, 2)
    assert download_file(address).path.read_bytes() == DATA
    ranges = [request.headers.get("range") for request in hub.requests]
    assert len(ranges) == 3 and ranges[0] is None and ranges[1] == "bytes=262144-"


def test_a_file_that_changes_while_it_is_downloaded(hub: Hub, address: str) -> None:
    """The server sends all of the new one, since the tag of the old one is no more its own."""
    hub.cuts["/some/"] = (300_000, 1)
    hub.changes["/some/weights.hdf5"] = b"new" * 1000
    assert download_file(address).path.read_bytes() == b"new" * 1000


def test_a_download_that_ends_broken_off(hub: Hub, address: str) -> None:
    hub.cuts["/some/"] = (0, 100)
    refuse(
        r"\[E375\] The download of http.*weights.hdf5 broke off: .*Nothing of it is used", address
    )
    assert len(hub.requests) == 4


def test_a_server_that_fails_and_recovers(hub: Hub, address: str) -> None:
    hub.failures["/some/"] = [500, 503]
    assert download_file(address).path.read_bytes() == DATA
    hub.failures["/some/"] = [500] * 10
    with pytest.raises(ConnectionError, match=r"\[E375\] .*the server answers 500"):
        download_file(address + "?2")


def test_a_server_that_refuses(hub: Hub, address: str) -> None:
    refuse(
        r"\[E378\] .*/nothing cannot be downloaded: the server answers 404", f"{hub.url}/nothing"
    )


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://example.org/x", "file:///etc/x"])
def test_only_https(hub: Hub, url: str, no_socket: None) -> None:
    refuse(r"\[E378\] .* only addresses that begin with https:// are used", url)


def test_a_redirection_to_an_address_without_encryption(hub: Hub) -> None:
    hub.redirects["/moved"] = "http://example.org/x"
    refuse(
        r"\[E378\] http://example.org/x cannot be downloaded: only addresses", f"{hub.url}/moved"
    )
    request = requests.Request("GET", "http://example.org/x").prepare()
    with pytest.raises(ValueError, match=r"\[E378\]"):
        OnlyLoopback("http://localhost/").send(request)


def test_a_redirection_to_this_machine_from_elsewhere(hub: Hub, address: str) -> None:
    hub.redirects["/moved"] = address
    assert download_file(f"{hub.url}/moved").path.read_bytes() == DATA
    request = requests.Request("GET", address + "?key=SECRET").prepare()
    with pytest.raises(ValueError, match=rf"\[E378\] {address} cannot be downloaded: only"):
        OnlyLoopback("https://example.org/x").send(request)


def add_secrets(address: str) -> str:
    return address.replace("http://", "http://SECRET:SECRET@") + "?token=SECRET"


def test_secrets_of_addresses_are_used_but_never_shown(hub: Hub, address: str) -> None:
    found = download_file(add_secrets(address))
    assert found.source == address and found.path.read_bytes() == DATA
    assert hub.requests[0].headers["authorization"].startswith("Basic ")
    assert download_file(address).path != found.path  # what they give may be another file
    wrong = [
        f"{address}#sha256={'0' * 64}",
        f"{address}#md5=SECRET",
        f"{hub.url}/nothing",
        "http://example.org/x",
        "http://127.0.0.1:1/x",
    ]
    for one in wrong:
        url, _, checksum = one.partition("#")
        secret = add_secrets(url) + f"#{checksum}" * bool(checksum)
        with pytest.raises((ValueError, OSError), match=rf"\[E37[568]\] .*{url}[ \n]") as caught:
            download_file(secret)
        shown = "".join(traceback.format_exception(caught.value))
        assert "SECRET" not in "\n".join(x for x in shown.splitlines() if "Error" in x), shown
    for name in ("https://SECRET:SECRET@huggingface.co/a/b", "https://huggingface.co/a/b?t=SECRET"):
        with pytest.raises(ValueError, match=r"\[E378\] https://huggingface.co/a/b can") as caught:
            find_folder(name)
        assert "SECRET" not in str(caught.value)


def test_fewer_bytes_than_announced_are_not_all(
    hub: Hub, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """urllib3 1 takes the end of the connection for the end of the file."""

    def ask_leniently(*arguments: Any) -> requests.Response:
        response = ask(*arguments)
        response.raw.enforce_content_length = False
        return response

    monkeypatch.setattr("spacy_ctxemb.remote.download_file.ask", ask_leniently)
    hub.cuts["/some/"] = (300_000, 2)
    assert download_file(address).path.read_bytes() == DATA
    hub.cuts["/some/"] = (0, 100)
    with pytest.raises(ConnectionError, match=r"\[E375\] .*: 0 bytes came of 1280000"):
        download_file(address + "?2")


def test_another_part_than_was_asked_for_is_not_used(hub: Hub, address: str) -> None:
    hub.parts_begin_at = 5
    hub.cuts["/some/"] = (300_000, 1)
    assert download_file(address).path.read_bytes() == DATA  # all of it, asked for anew
    ranges = [request.headers.get("range") for request in hub.requests]
    assert ranges == [None, "bytes=262144-", None]


def test_no_bar_but_on_a_terminal(hub: Hub, address: str, capfd: Any) -> None:
    download_file(address)
    assert capfd.readouterr() == ("", "")


# ---- ELMo


def test_an_elmo_at_addresses(hub: Hub, tmp_path: Path) -> None:
    options, weights = write_model(tmp_path / "elmo")
    for path in (options, weights):
        hub.files[f"/{path.name}"] = path.read_bytes()
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    addresses = [f"{hub.url}/{options.name}", f"{hub.url}/{weights.name}#sha256={sha256}"]
    output = run_well("import", "elmo", *addresses, tmp_path / "out")
    assert f"From {hub.url}/{weights.name} at sha256:{sha256}" in output
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert [source["source"] for source in meta["ctxemb"]["ctxemb"]] == [
        address.partition("#")[0] for address in addresses
    ]
    text = "Ada lives in Oslo."
    expected = spacy_ctxemb.load(options, weights)(text).tensor
    np.testing.assert_array_equal(spacy_ctxemb.load(*addresses)(text).tensor, expected)
    np.testing.assert_array_equal(spacy_ctxemb.load(tmp_path / "elmo")(text).tensor, expected)
    code, output = run("import", "elmo", f"{hub.url}/no.json", addresses[1], tmp_path / "other")
    assert code == 1 and "[E378]" in output and not (tmp_path / "other").exists()
