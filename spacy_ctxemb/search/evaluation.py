"""How well an index finds the texts that answer queries.

Sources: Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", for nDCG,
with gains that grow linearly, as trec_eval computes it.
"""

import math
from collections.abc import Collection, Mapping, Sequence

from ..errors import Errors
from .index import Index

#: By the id of a query: the ids of the texts that are right, all alike or with grades above 0.
Qrels = Mapping[str, Collection[str] | Mapping[str, float]]

#: Depths of recall.
DEPTHS = (1, 5, 10)

#: Depth of nDCG and MRR.
DEPTH = 10


def evaluate(index: Index, queries: Mapping[str, str], qrels: Qrels) -> dict[str, float]:
    """nDCG@10, MRR@10 and recall@1, @5, @10: means over all queries.

    A text stands where its best passage does. queries: by their ids. qrels: the right texts of
    each. Raises E721 where there are no queries, or one has no right text.

        evaluate(index, {"q1": "who wrote to Babbage?"}, {"q1": ["ada.txt"]})
    """
    rankings = rank_texts(index, list(queries.values()), DEPTH)
    return score_rankings(dict(zip(queries, rankings, strict=True)), qrels)


def rank_texts(index: Index, queries: Sequence[str], n: int) -> list[list[str]]:
    """The ids of the n texts whose best passages are nearest to each query."""
    found: dict[int, list[str]] = {}
    rows, n_passages = index.encode_queries(queries), n
    while len(found) < len(queries):
        missing = [i for i in range(len(queries)) if i not in found]
        all_hits = index.search(rows[missing], n_passages)
        for i, hits in zip(missing, all_hits, strict=True):
            ids = list(dict.fromkeys(hit.id for hit in hits))
            if len(ids) >= n or n_passages >= len(index):
                found[i] = ids[:n]
        n_passages *= 4
    return [found[i] for i in range(len(queries))]


def score_rankings(rankings: Mapping[str, Sequence[str]], qrels: Qrels) -> dict[str, float]:
    """The same of rankings from anywhere: ids of texts by the id of a query, the best one first."""
    if not rankings:
        raise ValueError(Errors.E721.format(what="queries", expected="one at least", found={}))
    rows = [score_ranking(ids, read_grades(qrels, query)) for query, ids in rankings.items()]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def read_grades(qrels: Qrels, query: str) -> dict[str, float]:
    """The grades above 0 of a query. Raises E721 where there is none."""
    right = qrels.get(query, ())
    grades = dict(right) if isinstance(right, Mapping) else dict.fromkeys(right, 1.0)
    grades = {str(id): grade for id, grade in grades.items() if grade > 0}
    if not grades:
        what, expected = f"The right texts of the query {query!r}", "one id at least"
        raise ValueError(Errors.E721.format(what=what, expected=expected, found=right))
    return grades


def score_ranking(ids: Sequence[str], grades: Mapping[str, float]) -> dict[str, float]:
    """The scores of one query."""
    gains = [grades.get(id, 0.0) for id in ids[:DEPTH]]
    ideal = sorted(grades.values(), reverse=True)[:DEPTH]
    first = next((i for i, gain in enumerate(gains, start=1) if gain), math.inf)
    return {
        f"ndcg@{DEPTH}": discount(gains) / discount(ideal),
        f"mrr@{DEPTH}": 1.0 / first,
        **{f"recall@{k}": len({*ids[:k]} & {*grades}) / len(grades) for k in DEPTHS},
    }


def discount(gains: Sequence[float]) -> float:
    """Gains, less the lower they stand."""
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))
