"""Later epochs find all they need in the cache, and ratios are of later epochs."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from spacy.cli.convert import convert
from typer.testing import CliRunner

from . import accuracy, cache_epochs
from .accuracy_data import DATA_SETS
from .cache_epochs import Contestant

ROOT = Path(__file__).parents[2]
WNUT17 = DATA_SETS["wnut17"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    WNUT17.corpus.mkdir(parents=True)
    path = ROOT / "tests" / "corpus" / "ner" / "dev.conll"
    convert(path, WNUT17.corpus, converter="ner", n_sents=1, file_type="spacy", silent=True)
    (WNUT17.corpus / "dev.spacy").rename(WNUT17.corpus / "train.spacy")


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_the_second_epoch_encodes_nothing(cache: str, tmp_path: Path) -> None:
    nlp = cache_epochs.build(Contestant("english", cache), WNUT17, tmp_path)
    pipe = nlp.get_pipe("ctxemb")
    examples = cache_epochs.read(nlp, WNUT17, documents=12)
    assert len(examples) == 12
    assert all(cache_epochs.train_epoch(nlp, examples, epoch, 40) > 0 for epoch in range(2))
    found = {name: pipe.counts[f"cache_{name}"] for name in ("hits", "misses")}
    assert found == ({"hits": 0, "misses": 0} if cache == "none" else {"hits": 12, "misses": 12})
    assert (cache_epochs.measure_cache(nlp) > 0) == (cache != "none")
    assert (tmp_path / "cache").exists() == (cache == "disk")


def test_hashembedcnn_trains_without_an_encoder(tmp_path: Path) -> None:
    nlp = cache_epochs.build(Contestant("hashembedcnn"), WNUT17, tmp_path)
    examples = cache_epochs.read(nlp, WNUT17, documents=12)
    before = nlp.get_pipe("ner").model.to_bytes()
    cache_epochs.train_epoch(nlp, examples, 0, 40)
    assert nlp.get_pipe("ner").model.to_bytes() != before


def test_ratios_are_those_of_later_epochs() -> None:
    seconds = {
        Contestant("hashembedcnn"): [[9.0, 2.0, 2.0], [9.0, 2.0, 2.0]],
        Contestant("minilm", "memory"): [[50.0, 3.0, 3.0], [50.0, 1.0, 1.0]],
        Contestant("minilm", "none"): [[50.0, 40.0, 40.0], [50.0, 40.0, 40.0]],
    }
    rows = cache_epochs.summarise(seconds, dict.fromkeys(seconds, 5.0))
    assert [row["of_hashembedcnn"] for row in rows] == [1.0, 1.0, 20.0]
    assert [row["times_faster"] for row in rows] == [1.0, 20.0, 1.0]
    assert [row["first_epoch"] for row in rows] == [9.0, 50.0, 50.0]
    assert "| minilm | memory | 50.0 | 2.0 | 1.0 | 20.0 | 5.0 |" in cache_epochs.render(rows)


def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "run_once", lambda *arguments: None)
    monkeypatch.setattr(cache_epochs.torch, "set_num_threads", lambda n: None)
    (tmp_path / "data" / "ner" / "wnut17").mkdir(parents=True)
    app = typer.Typer()
    app.command()(cache_epochs.main)
    sizes = ["--documents", "6", "--epochs", "2", "--rounds", "1", "--output", "out.json"]
    data = ["--data", "data", "--dataset", "wnut17"]
    result = CliRunner().invoke(app, [*data, "--encoders", "english", *sizes])
    assert result.exit_code == 0, result.output
    rows = json.loads(Path("out.json").read_text(encoding="utf8"))["rows"]
    found = [(row["encoder"], row["cache"]) for row in rows]
    caches = ("memory", "disk", "none")
    assert found == [("hashembedcnn", "none"), *(("english", cache) for cache in caches)]
    assert all(row["first_epoch"] > 0 and row["later_epochs"] > 0 for row in rows)
