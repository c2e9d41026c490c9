"""Scores of rankings. The values are those of the sources named, or counted by hand."""

from typing import Any

import pytest

from spacy_ctxemb.search.evaluation import evaluate, rank_texts, score_rankings
from spacy_ctxemb.search.index import Index

from .index_of_few import TEXTS, build_pipeline


def test_the_example_of_wikipedia() -> None:
    """The page "Discounted cumulative gain": six documents of the grades 3, 2, 3, 0, 1, 2, and two
    more of the grades 3 and 2 that were not found; DCG 6.861, ideal DCG of six 8.740. Here the
    ideal has ten places, so both further grades count: 8.740 + 1 / log2(8) = 9.073."""
    grades = {"D1": 3, "D2": 2, "D3": 3, "D4": 0, "D5": 1, "D6": 2, "D7": 3, "D8": 2}
    found = score_rankings({"q": ["D1", "D2", "D3", "D4", "D5", "D6"]}, {"q": grades})
    assert found["ndcg@10"] == pytest.approx(6.861 / 9.073, abs=1e-3)
    assert found["recall@5"] == pytest.approx(4 / 7)
    assert found["mrr@10"] == 1.0


def test_by_hand() -> None:
    rankings = {"a": ["x", "y", "z"], "b": ["x", "y"]}
    found = score_rankings(rankings, {"a": ["z", "w"], "b": {"x": 1, "y": 0}})
    # a: the one of two at the third place, 1 / log2(4) of 1 + 1 / log2(3).
    assert found["ndcg@10"] == pytest.approx((0.5 / 1.6309298 + 1.0) / 2)
    assert found["mrr@10"] == pytest.approx((1 / 3 + 1) / 2)
    assert [found[f"recall@{k}"] for k in (1, 5, 10)] == [0.5, 0.75, 0.75]


def test_nothing_right_among_the_first_ten() -> None:
    found = score_rankings({"q": [*"abcdefghij", "right"]}, {"q": ["right"]})
    assert set(found.values()) == {0.0}


def test_against_another_package() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    import numpy as np

    rng = np.random.default_rng(0)
    for _ in range(20):
        grades = rng.integers(0, 4, size=30)
        grades[0] = 1
        scores = rng.permutation(30).astype(float)
        expected = metrics.ndcg_score([grades], [scores], k=10)
        ids = [str(i) for i in np.argsort(-scores)]
        qrels = {"q": {str(i): float(grade) for i, grade in enumerate(grades)}}
        assert score_rankings({"q": ids}, qrels)["ndcg@10"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rankings", "qrels", "message"),
    [
        ({}, {}, r"\[E721\] queries must be one at least"),
        ({"q": ["a"]}, {}, r"\[E721\] The right texts of the query 'q' must be one id"),
        ({"q": ["a"]}, {"q": {"a": 0}}, r"\[E721\] .*'a': 0"),
    ],
)
def test_what_cannot_be_scored(rankings: dict, qrels: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=message):
        score_rankings(rankings, qrels)


def test_texts_stand_where_their_best_passages_do(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(build_pipeline(), "sent")
    index.add(TEXTS)
    (ranked,) = rank_texts(index, ["They were wet."], 2)
    assert len(ranked) == 2 and ranked[0] == "otters"
    (every,) = rank_texts(index, ["They were wet."], 10)
    assert sorted(every) == ["heron", "money", "otters"] and every[:2] == ranked
    with monkeypatch.context() as patched:
        encoded: list[Any] = []
        encode = index.encode_queries
        patched.setattr(index, "encode_queries", lambda x: encoded.append(x) or encode(x))
        rank_texts(index, ["They were wet.", "My loan was refused."], 3)
        assert len(encoded) == 1  # however many rounds
    queries = {"q": "They were wet.", "r": "My loan was refused."}
    found = evaluate(index, queries, {"q": ["otters"], "r": ["money", "gone"]})
    assert found["recall@1"] == 0.75 and found["mrr@10"] == 1.0
