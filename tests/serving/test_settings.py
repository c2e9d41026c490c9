"""Settings, keys in files, and packages that are missing."""

import sys
from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb import serving
from spacy_ctxemb.serving.settings import Settings, read_keys

WRONG: list[dict[str, Any]] = [
    {"batch_tokens": 0},
    {"batch_wait_ms": -1.0},
    {"max_texts": 0},
    {"max_bytes": -5},
    {"timeout": 0.0},
    {"timeout": float("nan")},
    {"queue_size": 1023},
]


@pytest.mark.parametrize("settings", WRONG, ids=str)
def test_values_that_cannot_be(settings: dict[str, Any]) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=rf"E801\] {name} is {value}, but must be"):
        Settings(**settings)


def test_an_empty_key_opens_nothing() -> None:
    with pytest.raises(ValueError, match="E801.*api_keys is 'hidden'"):
        Settings(api_keys=("secret", ""))


def test_keys_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("one \n\n  two\n", encoding="utf8")
    assert read_keys(path) == ("one", "two")
    path.write_text("\n \n")
    with pytest.raises(ValueError, match=r"E802\].*keys holds no API key"):
        read_keys(path)


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
