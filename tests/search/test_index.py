"""`Index`: what is found, and what is said of damaged, foreign and unsuitable ones."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language

import spacy_ctxemb
from spacy_ctxemb.search import Index
from spacy_ctxemb.search.folder import INDEX
from spacy_ctxemb.search.vectors import DTYPES, ExactVectors, GraphVectors, has_usearch

from .index_of_few import TEXTS, build_pipeline

pytest.importorskip("usearch", reason="usearch is not installed")


@pytest.fixture(scope="module")
def nlp() -> Language:
    return build_pipeline()


@pytest.fixture
def index(nlp: Language) -> Index:
    index = Index(nlp)
    index.add(TEXTS)
    return index


def search_all(nlp: Language, query: str, n: int) -> list[tuple[str, str, float]]:
    """The same by the cosines of spaCy's objects."""
    vector, found = nlp(query).vector, []
    for text, id in TEXTS:
        for sent in nlp(text).sents:
            norms = np.linalg.norm(vector) * np.linalg.norm(sent.vector)
            found.append((id, sent.text, float(vector @ sent.vector / norms)))
    return sorted(found, key=lambda row: -row[2])[:n]


@pytest.mark.parametrize("limit", [0, 50_000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_passages_are_those_with_the_largest_cosines(nlp: Language, dtype: str, limit: int) -> None:
    index = Index(nlp, "sent", dtype=dtype, exact_limit=limit)
    assert index.add(TEXTS) == (3, 6, 0)
    assert isinstance(index.vectors, ExactVectors if limit else GraphVectors)
    expected = search_all(nlp, "The bank was wet.", 3)
    hits = index.search("The bank was wet.", 3)
    assert [hit.score for hit in hits] == pytest.approx([x[2] for x in expected], abs=0.02)
    if dtype != "int8":
        assert [(hit.id, hit.text) for hit in hits] == [x[:2] for x in expected]
    for hit in hits:
        (text,) = (text for text, id in TEXTS if id == hit.id)
        assert text[hit.start : hit.end] == hit.text


def test_several_queries_and_vectors(nlp: Language, index: Index) -> None:
    queries = ["wet otters", "a loan"]
    found = index.search(queries, 2)
    assert [[hit.key for hit in hits] for hits in found] == [
        [hit.key for hit in index.search(query, 2)] for query in queries
    ]
    vectors = spacy_ctxemb.encode(nlp, queries)
    assert [hits[0].key for hits in index.search(vectors, 1)] == [x[0].key for x in found]
    assert [hit.key for hit in index.search(vectors[0], 2)] == [hit.key for hit in found[0]]
    assert index.search(iter(queries), 2) == found
    assert index.search([], 2) == []
    assert len(index.search("one", 99)) == 6


def test_without_usearch_all_are_compared(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    has_usearch.cache_clear()
    index = Index(nlp, exact_limit=1)
    with pytest.warns(UserWarning, match=r"\[W016\].*spacy-ctxemb\[search\]") as warned:
        index.add(TEXTS[:2])
        index.add(TEXTS[2:])
    has_usearch.cache_clear()
    assert len(warned) == 1 and len(index) == 6
    assert isinstance(index.vectors, ExactVectors)


@pytest.mark.parametrize("queries", ["text", None, 3])
def test_queries_that_are_none(index: Index, queries: Any) -> None:
    with pytest.raises(ValueError, match=r"\[E705\]"):
        index.encode_queries(queries)


def test_texts_come_and_go(index: Index) -> None:
    assert "money" in index and "other" not in index
    assert index.remove(["money"]) == 2
    assert "money" not in index and len(index) == 4
    assert {hit.id for hit in index.search("my loan", 9)} == {"otters", "heron"}
    assert index.add([("The bank raised its rate.", "money")]) == (1, 1, 0)
    assert max(hit.key for hit in index.search("my loan", 9)) == 6  # a key is not used again


def test_ids_count_on(nlp: Language) -> None:
    index = Index(nlp, "doc")
    index.add(["one", "two"])
    index.add(iter(["three"]))
    assert [hit.id for hit in sorted(index.search("one"), key=lambda hit: hit.key)] == [*"012"]


def test_passages_without_a_word_are_skipped(nlp: Language) -> None:
    index = Index(nlp, "doc")
    assert index.add(["", "  ", "words"]) == (3, 1, 2)


@pytest.mark.parametrize("limit", [1, 50_000])
def test_it_survives_the_disk(nlp: Language, tmp_path: Path, limit: int) -> None:
    index = Index(nlp, exact_limit=limit)
    index.add(TEXTS)
    index.remove(["heron"])
    index.save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index", nlp)
    assert loaded.search("wet otters", 9) == index.search("wet otters", 9)
    loaded.add([TEXTS[2]])
    loaded.save(tmp_path / "index")
    again = Index.load(tmp_path / "index", nlp)
    assert {hit.key for hit in again.search("a", 9)} == {0, 1, 2, 3, 6, 7}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(["add", "remove", "reload"]), max_size=9))
@pytest.mark.parametrize("limit", [2, 50_000])
def test_keys_are_stable(nlp: Language, tmp_path: Path, limit: int, steps: list[str]) -> None:
    index, known = Index(nlp, exact_limit=limit), dict[int, tuple[str, str]]()
    for i, step in enumerate(steps):
        if step == "add":
            index.add([(f"Otters number {i}. They slept.", f"t{i}")])
            hits = index.search("otters", 99)
            known |= {hit.key: (hit.id, hit.text) for hit in hits if hit.id == f"t{i}"}
        elif step == "remove" and known:
            id = next(iter(known.values()))[0]
            index.remove([id])
            known = {key: value for key, value in known.items() if value[0] != id}
        elif step == "reload":
            index.save(tmp_path / "index")
            index = Index.load(tmp_path / "index", nlp)
        found = {hit.key: (hit.id, hit.text) for hit in index.search("otters", 99)}
        assert found == known


def test_context(index: Index) -> None:
    hit = index.search("They were wet.", 1)[0]
    context = index.find_context(hit, 1)
    assert (context.text, context.start) == (TEXTS[0][0], 0)
    assert index.find_context(hit, 0).text == hit.text


# Pipelines


def test_the_pipeline_is_remembered_beside_the_index(tmp_path: Path) -> None:
    import spacy

    (tmp_path / "one").mkdir()
    build_pipeline().to_disk(tmp_path / "one" / "pipeline")
    index = Index(spacy.load(tmp_path / "one" / "pipeline"))
    index.add(TEXTS)
    index.save(tmp_path / "one" / "index")
    shutil.move(tmp_path / "one", tmp_path / "two")
    loaded = Index.load(tmp_path / "two" / "index")
    assert loaded.search("wet", 9) == index.search("wet", 9)
    shutil.rmtree(tmp_path / "two" / "pipeline")
    with pytest.raises(ValueError, match=r"\[E716\].*'../pipeline'.*--pipeline"):
        Index.load(tmp_path / "two" / "index")


def test_a_pipeline_in_memory_is_not_remembered(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    with pytest.raises(ValueError, match=r"\[E716\].*in memory alone"):
        Index.load(tmp_path / "index")


def test_another_encoder(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    with pytest.raises(ValueError, match=rf"\[E715\].*{index.encoder}"):
        Index.load(tmp_path / "index", build_pipeline(seed=1))


# Damage


def damage(folder: Path, how: str) -> None:
    path = folder / (INDEX if "index.json" in how else "passages.sqlite")
    if how.startswith("no "):
        path.unlink()
    elif how.startswith("cut"):
        path.write_bytes(path.read_bytes()[:100])
    elif how.startswith("empty"):
        path.write_bytes(b"")
    elif how.startswith("list"):
        path.write_text("[1]")
    elif how.startswith("foreign"):
        path.write_text('{"width": 3}')
    else:
        found = json.loads(path.read_text())
        found.update(json.loads(how.partition("{")[1] + how.partition("{")[2]))
        path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("how", "code"),
    [
        *((f"{kind} {file}", "E713") for kind in ("no", "cut", "empty") for file in ("", INDEX)),
        ("list index.json", "E713"),
        ("foreign index.json", "E714"),
        ('index.json {"format": 2}', "E714"),
        ('index.json {"width": "x"}', "E713"),
        ('index.json {"width": 7}', "E713"),
        ('index.json {"n_passages": 1}', "E713"),
        ('index.json {"dtype": "f8"}', "E713"),
        ('index.json {"dtype": "float32"}', "E713"),
        ('index.json {"level": "word"}', "E713"),
        ('index.json {"next_key": 0}', "E713"),
        ('index.json {"spans_key": 3}', "E713"),
        ('index.json {"other": 1}', "E713"),
        ('index.json {"checksums": {}}', "E713"),
        ('index.json {"checksums": []}', "E713"),
        ('index.json {"checksums": {"../x": "", "y": ""}}', "E713"),
    ],
)
@pytest.mark.parametrize("limit", [1, 50_000])
def test_damaged(nlp: Language, tmp_path: Path, how: str, code: str, limit: int) -> None:
    index = Index(nlp, exact_limit=limit)
    index.add(TEXTS)
    index.save(tmp_path / "index")
    damage(tmp_path / "index", how)
    with pytest.raises(ValueError, match=rf"\[{code}\] .*index"):
        Index.load(tmp_path / "index", nlp)


def test_vectors_that_were_changed(index: Index, nlp: Language, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    path = tmp_path / "index" / "vectors.npz"
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"\[E713\].*vectors.npz is not the file"):
        Index.load(tmp_path / "index", nlp)


@pytest.mark.parametrize("place", ["missing", "empty", "file"])
def test_no_index(nlp: Language, tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    if place == "empty":
        path.mkdir()
    elif place == "file":
        path.write_text("text")
    with pytest.raises(ValueError, match=r"\[E713\].*cannot be read as an index: "):
        Index.load(path, nlp)


# What cannot be added, removed, asked or saved


def test_ids_that_are_there_twice(index: Index) -> None:
    for texts in ([("new", "otters")], [("one", "x"), ("two", "x")], [("one", 7), ("two", "7")]):
        with pytest.raises(ValueError, match=r"\[E717\] The id '(otters|x|7)' is there twice"):
            index.add(texts)
    assert len(index) == 6 and "x" not in index


def test_nothing_is_added_where_one_text_fails(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spacy_ctxemb.bulk.encode.MAX_TEXTS", 1)
    items: Any = [("A first text.", "first"), ("A second.", "second"), None]
    with pytest.raises(ValueError, match=r"\[E705\]"):
        index.add(items)
    assert len(index) == 6 and "first" not in index
    assert index.add(items[:2]) == (2, 2, 0)


def test_ids_that_are_unknown(index: Index) -> None:
    with pytest.raises(ValueError, match=r"\[E718\].*\['gone'\]"):
        index.remove(["otters", "gone"])
    assert len(index) == 6


@pytest.mark.parametrize("query", ["", " \n"])
def test_queries_without_a_word(index: Index, query: str) -> None:
    with pytest.raises(ValueError, match=r"\[E719\]"):
        index.search(query)


@pytest.mark.parametrize("n", [0, -1, 1.5, None])
def test_numbers_of_hits(index: Index, n: Any) -> None:
    with pytest.raises(ValueError, match=r"\[E721\] n must be at least 1"):
        index.search("wet", n)


@pytest.mark.parametrize(
    ("vectors", "found"), [(np.ones((2, 3)), r"\(2, 3\)"), (np.ones(15), r"\(1, 15\)")]
)
def test_vectors_that_do_not_fit(index: Index, vectors: Any, found: str) -> None:
    with pytest.raises(ValueError, match=rf"\[E722\].*width is not 16: the shape {found}"):
        index.search(vectors)
    with pytest.raises(ValueError, match=r"\[E722\].*not finite"):
        index.search(np.full((1, 16), np.nan))


def test_an_index_of_nothing(nlp: Language, tmp_path: Path) -> None:
    index = Index(nlp)
    assert index.add([]) == (0, 0, 0) and index.search("wet") == []
    index.save(tmp_path / "index")
    assert len(Index.load(tmp_path / "index", nlp)) == 0


def test_folders_with_other_files(index: Index, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"\[E724\].*mine.txt"):
        index.save(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "word"}, r"\[E701\] There is no level 'word'"),
        ({"dtype": "f8"}, r"\[E701\] There is no dtype 'f8'.*\['float32', 'float16', 'int8'\]"),
    ],
)
def test_settings(nlp: Language, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Index(nlp, **settings)


@pytest.mark.parametrize("limit", [1, 50_000])
def test_a_disk_that_is_full(nlp: Language, tmp_path: Path, limit: int) -> None:
    pytest.importorskip("resource", reason="limits are POSIX's")
    from ..cli.test_full_disk import small_files

    index = Index(nlp, exact_limit=limit)
    index.add(TEXTS)
    index.save(tmp_path / "index")
    before = index.search("wet", 9)
    index.add((f"Otters number {i} slept on a bank.", f"t{i}") for i in range(200))
    with small_files(), pytest.raises(OSError, match=r"\[E164\] .*index"):
        index.save(tmp_path / "index")
    assert Index.load(tmp_path / "index", nlp).search("wet", 9) == before
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
