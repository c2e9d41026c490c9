"""The benchmark of retrieval, on two paragraphs."""

import json
from pathlib import Path

import pytest

from spacy_ctxemb.search import Index

from ..search.index_of_few import TEXTS, build_pipeline

pytest.importorskip("bm25s", reason="bm25s is not installed")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Each sentence asks for the text that it is from."""
    paragraphs = [
        {
            "context": text,
            "qas": [
                {"id": f"{id}{i}", "question": sentence, "answers": []}
                for i, sentence in enumerate(text.split(". "))
            ],
        }
        for text, id in TEXTS
    ]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"data": [{"title": "one", "paragraphs": paragraphs}]}))
    return path


def test_questions_find_their_paragraphs(questions: Path) -> None:
    from .retrieval import check_brute_force, rank_by_words, read

    texts, queries, qrels = read(questions, 0)
    assert texts == {f"p{i}": text for i, (text, _) in enumerate(TEXTS)}
    assert [*qrels.values()] == [["p0"], ["p0"], ["p1"], ["p1"], ["p2"], ["p2"]]
    assert rank_by_words(texts, queries, qrels)["recall@1"] == 1.0
    assert len(read(questions, 2)[1]) == 2
    nlp = build_pipeline()
    for level in ("doc", "sent"):
        index = Index(nlp, level, dtype="float32")
        index.add((text, id) for id, text in texts.items())
        check_brute_force(nlp, index, texts, queries)
    index.vectors.rows[:2] = index.vectors.rows[2:4]  # type: ignore[union-attr]
    with pytest.raises(AssertionError):
        check_brute_force(nlp, index, texts, queries)
