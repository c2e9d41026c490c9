"""Settings, keys in files, and packages that are missing."""

import sys
from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb import serving
from spacy_ctxemb.cli.serve import read_keys
from spacy_ctxemb.serving.settings import Settings

WRONG: list[dict[str, Any]] = [
    {"batch_tokens": 0},
    {"batch_wait_ms": -1.0},
    {"max_texts": 0},
    {"max_bytes": -5},
    {"timeout": 0.0},
    {"timeout": float("nan")},
    {"timeout": float("inf")},
    {"batch_wait_ms": float("inf")},
    {"name": ""},
    {"origins": "https://example.org"},
    {"queue_size": 2047},
]


@pytest.mark.parametrize("settings", WRONG, ids=str)
def test_values_that_cannot_be(settings: dict[str, Any]) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=rf"E801\] {name} is {value!r}, but must be"):
        Settings(**settings)


@pytest.mark.parametrize("keys", [("secret", ""), "secret", ("a ",), (3,), (None,)])
def test_keys_that_can_be_none(keys: Any) -> None:
    with pytest.raises(ValueError, match="E801.*api_keys is 'hidden'"):
        Settings(api_keys=keys)
    assert "secret" not in repr(Settings(api_keys=("secret",)))


def test_keys_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    path.write_text("one \n\n  two\n", encoding="utf8")
    assert read_keys(None, path) == ("one", "two")
    assert read_keys("zero, a b", path) == ("zero", "a b", "one", "two")
    monkeypatch.setenv("CTXEMB_API_KEYS", "of the environment")
    assert read_keys(None, None) == ("of the environment",)
    path.write_text("\n \n")
    with pytest.raises(ValueError, match=r"E802\].*keys holds no API key"):
        read_keys(None, path)
    for blank in ("", ",", " "):
        monkeypatch.setenv("CTXEMB_API_KEYS", blank)
        with pytest.raises(ValueError, match=r"E802\] CTXEMB_API_KEYS holds no API key"):
            read_keys(None, None)


@pytest.mark.parametrize(
    ("package", "name"),
    [("fastapi", "build_app"), ("prometheus_client", "build_app"), ("uvicorn", "run_server")],
)
def test_packages_that_are_missing(
    package: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [x for x in sys.modules if x.startswith("spacy_ctxemb.serving.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"E708\] A service needs {package}: .*\[serve\]"):
        getattr(serving, name)
