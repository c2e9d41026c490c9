"""Files that are lost, empty, cut or of another kind are named, with what was expected."""

import json
import os
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch

from spacy_ctxemb.errors import Errors, is_coded
from spacy_ctxemb.pieces.special_pieces import read_tokenizer
from spacy_ctxemb.read_files import coding_errors, read_tensors, reading

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 3\n"

DAMAGED = {
    "empty": (b"", "it is empty. Put a whole copy"),
    "pointer": (POINTER, "it is a pointer of Git LFS, not the file itself. Run `git lfs pull`"),
    "cut": (safetensors.torch.save({"x": torch.ones(100)})[:200], "Error while deserializing"),
    "foreign": (b"PK\3\4" * 100, "Error while deserializing header: header too large"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_tensors(kind: str, tmp_path: Path) -> None:
    path, (content, reason) = tmp_path / "weights.safetensors", DAMAGED[kind]
    path.write_bytes(content)
    message = rf"\[E163\] {re.escape(str(path))} cannot be read as the weights of x: {reason}"
    with pytest.raises(ValueError, match=message):
        read_tensors(path, "the weights of x")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[E163\] .*nothing cannot .*: it is not there"):
        read_tensors(tmp_path / "nothing", "weights")
    with pytest.raises(ValueError, match=r"\[E163\] .*: it is a folder"):
        read_tensors(tmp_path, "weights")


def test_other_readers(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"\[E163\] .*as a list: maximum recursion depth"):
        with reading(path, "a list"):
            json.loads(path.read_text())
    with pytest.raises(ValueError, match=r"^\[E1\d\d\] inner$"), reading(path, "a list"):
        raise ValueError("[E123] inner")


def test_codes_are_told_from_errors_of_the_system() -> None:
    assert is_coded(ValueError("[E123] text"))
    assert not is_coded(OSError(13, "Permission denied"))  # "[Errno 13] ..."


class PanicException(BaseException):
    """As libraries in Rust raise it."""


PanicException.__module__ = "pyo3_runtime"


def test_a_panic_is_an_error_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"\[E163\] x cannot be read as a list: it broke"):
        with reading("x", "a list"):
            raise PanicException("it broke")

    def panic(text: str) -> None:
        raise PanicException("it broke")

    monkeypatch.setattr("tokenizers.Tokenizer.from_str", panic)
    with pytest.raises(ValueError, match=r"\[E124\] x is not a tokenizer .*: it broke"):
        read_tokenizer("{}", "x")


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt, SystemExit])
def test_what_is_no_fault_of_the_file_stays_as_it_is(kind: type[BaseException]) -> None:
    with pytest.raises(kind), reading("x", "a list"):
        raise kind
    with pytest.raises(kind), coding_errors(Errors.E124, source="x"):
        raise kind


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"\[E163\] .*: it is not a regular file"):
        with reading(tmp_path / "pipe", "a list"):
            raise ValueError
