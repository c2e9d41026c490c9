"""Files appear when they are whole, with the permissions of any other file."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from spacy_ctxemb.atomic_files import replacing, replacing_folder


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    with replacing(tmp_path / "tensors") as temporary:
        safetensors.torch.save_file({"x": torch.ones(3)}, temporary)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1
    assert safetensors.torch.load_file(tmp_path / "tensors")["x"].tolist() == [1, 1, 1]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), replacing_folder(tmp_path / "a" / "b") as temporary:
        (temporary / "file").touch()
        raise KeyError
    assert list((tmp_path / "a").iterdir()) == []
