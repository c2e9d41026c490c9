"""`python -m spacy ctxemb cache`"""

import errno
import multiprocessing
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import load_config
from thinc.api import Config, fix_random_seed

from spacy_ctxemb.cache.index_entries import ENTRY_BYTES
from spacy_ctxemb.cache.memory_and_disk_stores import MAGIC

from ..pipelines import BILM, NER_DATA, TEXTCAT_DATA, examples, listener, textcat_config
from .command import run, run_well

#: Three sentences each, so that a reader may split them.
TEXTS = [f"{text} It was {i}. All slept." for i, (text, _) in enumerate(TEXTCAT_DATA * 3)]


def read_counts(output: str) -> list[int]:
    """Hits, misses and Docs that are not kept."""
    (found,) = re.findall(r"(\d+) hits, (\d+) misses, (\d+) not kept, [\d.]+ MB", output)
    return [int(n) for n in found]


def write_docs(path: Path, texts: list[str]) -> Path:
    nlp = spacy.blank("xx")
    docs = DocBin()
    for i, text in enumerate(texts):
        doc = nlp.make_doc(text)
        for token in doc:
            token.is_sent_start = token.i == 0 or doc[token.i - 1].text == "."
        doc.cats = {"money": float(i % 2), "nature": float(1 - i % 2)}
        docs.add(doc)
    docs.to_disk(path)
    return path


def cache_settings(folder: Path) -> dict[str, Any]:
    return {"@misc": "spacy-ctxemb.FeatureCache.v1", "path": str(folder / "cache")}


def build(**settings: Any) -> Language:
    """A pipeline with weights, of the language whose tokenizer is built fastest."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("ctxemb", config={"model": BILM, **settings})
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline without a cache."""
    path: Path = tmp_path_factory.mktemp("pipelines") / "plain"
    build().to_disk(path)
    return path


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """The same pipeline with a cache, for the texts in `folder`."""
    build(cache=cache_settings(tmp_path)).to_disk(tmp_path / "cached")
    return tmp_path / "cached"


@pytest.fixture
def folder(tmp_path: Path, plain: Path) -> Path:
    """A directory with a pipeline without a cache, texts, and a config."""
    shutil.copytree(plain, tmp_path / "plain")
    write_docs(tmp_path / "train.spacy", TEXTS)
    write_docs(tmp_path / "dev.spacy", [f"Dev. {text}" for text in TEXTS[:5]])
    write_config(tmp_path).to_disk(tmp_path / "config.cfg")
    return tmp_path


def write_config(folder: Path, **settings: Any) -> Config:
    """A text classifier on top of a frozen encoder, taken by source. settings: of its reader."""
    reader = {"@readers": "spacy.Corpus.v1"}
    batcher = {"@batchers": "spacy.batch_by_words.v1", "size": 60, "tolerance": 0.2}
    config = {
        "nlp": {"lang": "xx", "pipeline": ["ctxemb", "textcat"]},
        "components": {
            "ctxemb": {"source": str(folder / "plain")},
            "textcat": {
                "factory": "textcat_multilabel",
                **textcat_config(listener(), exclusive=False),
            },
        },
        "paths": {"train": None},
        "corpora": {
            "train": {**reader, "path": "${paths.train}", **settings},
            "dev": {**reader, "path": str(folder / "dev.spacy")},
        },
        "training": {
            "seed": 0,
            "gpu_allocator": None,
            "train_corpus": "corpora.train",
            "dev_corpus": "corpora.dev",
            "frozen_components": ["ctxemb"],
            "annotating_components": ["ctxemb"],
            "max_epochs": 2,
            "eval_frequency": 3,
            "batcher": {"discard_oversize": False, **batcher},
        },
        "initialize": {
            "components": {"textcat": {"labels": ["money", "nature"]}},
            "before_init": {
                "@callbacks": "spacy-ctxemb.UseCache.v1",
                "component": "ctxemb",
                "cache": cache_settings(folder),
            },
        },
    }
    return Config(config)


def fill(folder: Path, *arguments: str | Path) -> list[int]:
    options = ["--paths.train", folder / "train.spacy"]
    return read_counts(run_well("cache", folder / "config.cfg", *arguments, *options))


class Spy:
    """Counts what components find in their caches, also those that others build."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from spacy_ctxemb.cache.feature_cache import FeatureCache
        from spacy_ctxemb.thinc_model.embedder_shim import get_shim

        self.hits, self.misses = 0, 0
        look_up_or_embed = FeatureCache.look_up_or_embed

        def spy(cache: Any, model: Any, *arguments: Any, **settings: Any) -> Any:
            shim = get_shim(model)
            before = shim.counts.copy()
            found = look_up_or_embed(cache, model, *arguments, **settings)
            self.hits += shim.counts["cache_hits"] - before["cache_hits"]
            self.misses += shim.counts["cache_misses"] - before["cache_misses"]
            return found

        monkeypatch.setattr(FeatureCache, "look_up_or_embed", spy)


@pytest.mark.parametrize(
    "settings", [{}, {"gold_preproc": True}, {"limit": 5}, {"max_length": 8}], ids=str
)
def test_training_finds_everything(
    settings: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(folder, **settings).to_disk(folder / "config.cfg")
    hits, misses, full = fill(folder)
    n_train = {"{}": 12, "{'limit': 5}": 5}.get(str(settings), 36)
    assert (hits + misses, full) == (n_train + 5, 0)
    spy = Spy(monkeypatch)
    overrides = {"paths.train": str(folder / "train.spacy")}
    train(folder / "config.cfg", folder / "out", overrides=overrides)
    assert spy.misses == 0
    assert spy.hits >= 2 * n_train + 5
    assert (
        load_config(folder / "out/model-last/config.cfg")["components"]["ctxemb"]["cache"] is None
    )


def test_a_second_run_finds_what_the_first_has_made(folder: Path) -> None:
    assert fill(folder) == [0, 17, 0]
    assert fill(folder) == [17, 0, 0]


def test_an_interrupted_run_goes_on(folder: Path) -> None:
    """Files that are cut anywhere cost no more than what was lost."""
    fill(folder)
    index = folder / "cache" / "index"
    with index.open("r+b") as file:
        file.truncate(index.stat().st_size - 72 * 4 - 10)
    assert fill(folder) == [12, 5, 0]
    assert fill(folder) == [17, 0, 0]


def test_files_are_read_as_the_training_corpus(folder: Path) -> None:
    write_config(folder, limit=3).to_disk(folder / "config.cfg")
    assert fill(folder, folder / "dev.spacy", folder / "train.spacy") == [0, 6, 0]
    assert fill(folder) == [6, 2, 0]


def test_a_pipeline(cached: Path, folder: Path) -> None:
    files = [folder / "train.spacy", folder / "dev.spacy"]
    assert read_counts(run_well("cache", cached, *files)) == [0, 17, 0]
    nlp, uncached = spacy.load(cached), spacy.load(folder / "plain")
    found, expected = list(nlp.pipe(TEXTS)), list(uncached.pipe(TEXTS))
    assert nlp.get_pipe("ctxemb").counts == {"cache_hits": 12, "cache_misses": 0, "cache_full": 0}
    for a, b in zip(found, expected, strict=True):
        assert np.allclose(a.tensor, b.tensor, atol=1e-5)


def test_components_before_the_encoder_run(folder: Path) -> None:
    nlp = build(cache=cache_settings(folder))
    nlp.add_pipe("sentencizer", before="ctxemb")
    nlp.add_pipe("note", before="ctxemb")
    nlp.to_disk(folder / "sentences")
    assert read_counts(run_well("cache", folder / "sentences", folder / "train.spacy"))[1] == 12
    nlp = spacy.load(folder / "sentences")
    list(nlp.pipe(TEXTS))
    assert nlp.get_pipe("ctxemb").counts["cache_misses"] == 0


@Language.component("note")
def note(doc: Doc) -> Doc:
    """A component that is a function."""
    doc.user_data["note"] = True
    return doc


@pytest.mark.parametrize("annotates", [False, True])
def test_only_what_annotates_runs_in_training(
    annotates: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(folder)
    config["nlp"]["pipeline"].insert(0, "sentencizer")
    config["components"]["sentencizer"] = {"factory": "sentencizer"}
    if annotates:
        config["training"]["annotating_components"].insert(0, "sentencizer")
    config.to_disk(folder / "config.cfg")
    fill(folder)
    spy = Spy(monkeypatch)
    overrides = {"paths.train": str(folder / "train.spacy")}
    train(folder / "config.cfg", folder / "out", overrides=overrides)
    assert (spy.misses, spy.hits > 24) == (0, True)


def test_too_small_a_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = build(cache={**cache_settings(folder), "max_megabytes": 1})
    nlp.to_disk(folder / "small")
    monkeypatch.setattr("spacy_ctxemb.cache.feature_cache.MEGABYTE", 2000)
    code, output = run("cache", folder / "small", folder / "train.spacy")
    hits, misses, full = read_counts(output)
    assert code == 1 and (hits, misses) == (0, 12) and 8 < full < 12
    assert f"[E259] {full} of 12 records are not in the cache in" in output
    assert "max_megabytes is 1, values" in output


def test_a_full_disk(cached: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, position: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="W006"):
        patch.setattr("spacy_ctxemb.cache.memory_and_disk_stores.write_at", fail)
        code, output = run("cache", cached, folder / "train.spacy")
    assert code == 1
    assert "[E259] 12 of 12 records are not in the cache" in output
    assert "No space left on device. Change that and run" in output
    assert read_counts(run_well("cache", cached, folder / "train.spacy")) == [0, 12, 0]


def test_a_cache_that_is_not_used(folder: Path) -> None:
    with pytest.warns(UserWarning, match="W005"):
        build(cache=cache_settings(folder), boundaries=True).to_disk(folder / "boundaries")
        code, output = run("cache", folder / "boundaries", folder / "train.spacy")
    assert code == 1 and "[E258] The cache of 'ctxemb' cannot be filled, since it does" in output


def test_no_texts(cached: Path, folder: Path) -> None:
    write_docs(folder / "empty.spacy", [])
    code, output = run("cache", cached, folder / "empty.spacy")
    assert code == 1 and "[E258] The cache of 'ctxemb' cannot be filled, since there are" in output
    assert f"no texts to encode in {folder / 'empty.spacy'}." in output


@pytest.mark.parametrize("n, reason", [(0, "it is empty"), (40, "[E1014] Error loading DocBin")])
def test_a_file_that_was_cut(n: int, reason: str, cached: Path, folder: Path) -> None:
    """It is named, also where it lies in a folder with others."""
    (folder / "texts").mkdir()
    write_docs(folder / "texts" / "a.spacy", TEXTS[:2])
    cut = folder / "texts" / "b.spacy"
    cut.write_bytes((folder / "train.spacy").read_bytes()[:n])
    for path in (cut, cut.parent):
        code, output = run("cache", cached, path)
        assert code == 1
        assert f"[E163] {cut} cannot be read as documents as spaCy stores them: {reason}" in output


def test_no_folder_for_the_cache(cached: Path, folder: Path) -> None:
    place = folder / "cache"
    place.symlink_to("gone")
    with pytest.warns(UserWarning, match="W006.*cache is a link to gone, which is not there"):
        code, output = run("cache", cached, folder / "train.spacy")
    assert code == 1 and f"{place} is a link to gone, which is not there. Change that" in output
    place.unlink()
    place.write_text("of the user")
    with pytest.warns(UserWarning, match="W006.*cache is a file, not a folder"):
        code, output = run("cache", cached, folder / "train.spacy")
    assert code == 1 and f"{place} is a file, not a folder. Change that" in output
    assert place.read_text() == "of the user"


@pytest.mark.parametrize("n", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kills(n: int, folder: Path) -> None:
    """What was in the cache stays, and the same command goes on."""
    nlp = build(cache=cache_settings(folder))
    nlp.batch_size = 4
    nlp.to_disk(folder / "cached")
    texts = [f"{text} Number {i}." for i, text in enumerate(TEXTS * 40)]
    write_docs(folder / "many.spacy", texts)
    files = [str(folder / "cached"), str(folder / "many.spacy")]
    index = folder / "cache" / "index"
    n_before = len(MAGIC)
    for i in range(n):
        worker = multiprocessing.get_context("fork").Process(target=run, args=("cache", *files))
        worker.start()
        while worker.is_alive() and not (index.exists() and index.stat().st_size > n_before):
            time.sleep(0.001)
        time.sleep(0.002 * i)
        worker.kill()
        worker.join()
        n_after = index.stat().st_size
        assert n_after >= n_before
        n_before = n_after
    hits, misses, n_left_out = read_counts(run_well("cache", *files))
    assert (hits + misses, n_left_out) == (len(texts), 0)
    assert hits == (n_before - len(MAGIC)) // ENTRY_BYTES > 0


def test_a_pipeline_without_texts(cached: Path) -> None:
    code, output = run("cache", cached)
    assert code == 1
    assert "[E256] A pipeline does not say which texts to encode." in output


@pytest.mark.parametrize("path, found", [("plain", "null"), ("memory", "in memory")])
def test_a_cache_that_would_be_lost(path: str, found: str, folder: Path) -> None:
    if path == "memory":
        build(cache={**cache_settings(folder), "path": None}).to_disk(folder / path)
    code, output = run("cache", folder / path, folder / "train.spacy")
    assert code == 1
    assert f"[E255] The cache of 'ctxemb' is {found}, so that nothing would outlast" in output


def test_no_such_component(cached: Path, folder: Path) -> None:
    arguments = ["cache", cached, folder / "train.spacy", "--component", "encoder"]
    code, output = run(*arguments)
    assert code == 1
    assert "[E257] 'encoder' is no component of the factory ctxemb; there are ['ctxemb']." in output


def test_a_cache_for_no_such_component(folder: Path) -> None:
    config = write_config(folder)
    config["initialize"]["before_init"]["component"] = "textcat"
    config.to_disk(folder / "config.cfg")
    arguments = ["cache", folder / "config.cfg", "--paths.train", folder / "train.spacy"]
    code, output = run(*arguments)
    assert code == 1 and "[E257] 'textcat' is no component" in output


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\xff\xfe", "[E163]"),
        (b"[nlp]\n", "[E520] The config is not valid: the section [training]"),
    ],
)
def test_a_config_that_is_none(content: bytes, message: str, folder: Path) -> None:
    (folder / "config.cfg").write_bytes(content)
    code, output = run("cache", folder / "config.cfg")
    assert code == 1 and message in output
