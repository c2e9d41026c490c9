"""Settings, keys in files, and packages that are missing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    with pytest.raises(ValueError, match="E801.*api_keys is hidden"):
        Settings(api_keys=("secret", ""))


def test_keys_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("one \n\n  two\n", encoding="utf8")
    assert read_keys(path) == ("one", "two")
    path.write_text("\n \n")
    with pytest.raises(ValueError, match=r"E802\].*keys holds no API key"):
        read_keys(path)


@pytest.mark.parametrize("package", ["fastapi", "prometheus_client", "uvicorn"])
def test_packages_that_are_missing(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from spacy_ctxemb import serving\n"
        "serving.build_app, serving.run_server"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"[E708] A service needs {package}" in done.stderr
    assert 'pip install "spacy-ctxemb[serve]"' in done.stderr
