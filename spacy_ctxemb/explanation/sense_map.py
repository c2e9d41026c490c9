"""The uses of a word as points on a plane, and their groups."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc, Token

from ..errors import Errors
from .groups import group_vectors
from .nearest_neighbours import check_type, read_corpus, unit_rows

Floats = NDArray[np.floating[Any]]

#: Uses of a word that a map needs.
LEAST_USES = 3

#: Uses that it takes at most: each is compared with each.
MOST_USES = 1000

PLANES = ("pca", "umap")


@dataclass(frozen=True)
class SenseMap:
    """The uses of a word: n tokens, points (n, 2), and groups (n,), the largest as number 0.

    n_found: uses in the corpus, of which 1,000 at most are here, from all of it.
    """

    word: str
    uses: list[Token]
    points: Floats
    groups: NDArray[np.int64]
    n_found: int

    def _repr_html_(self) -> str:
        from .html import render_parts

        return render_parts(senses=self)


def map_senses(
    nlp: Language,
    word: str,
    corpus: Iterable[str | Doc],
    *,
    n_groups: int | None = None,
    plane: str = "pca",
) -> SenseMap:
    """The uses of a word in a corpus, on a plane, in groups of similar vectors; of more than 1,000
    uses, as many at even steps.

    word: as the tokenizer cuts it, in any case. corpus: texts, or Docs, of which those without
        vectors are read by the pipeline.
    n_groups: None for the number, of 1 to 6, whose groups stand apart best.
    plane: "pca" for the one on which vectors spread most; "umap" for one on which neighbours stay
        together, which needs `pip install "spacy-ctxemb[umap]"`.
    Raises E735 for another plane, E743 for uses without vectors, E744 for fewer than 3 uses, E746
    without umap-learn, E747 for a number of groups that there cannot be, E749 for what is no
    corpus.

        map_senses(nlp, "spring", texts)  # in a notebook, a picture
    """
    check_type(word, "word", str)
    check_type(n_groups, "n_groups", int, type(None))
    if plane not in PLANES:
        raise ValueError(Errors.E735.format(what="plane", found=plane, options=[*PLANES]))
    uses = [token for doc in read_corpus(nlp, corpus) for token in find_uses(doc, word)]
    n_found = len(uses)
    if n_found > MOST_USES:
        uses = [uses[i] for i in np.linspace(0, n_found - 1, MOST_USES).astype(int)]
    if len(uses) < LEAST_USES:
        raise ValueError(Errors.E744.format(word=word, found=len(uses), least=LEAST_USES))
    if n_groups is not None and not 1 <= n_groups <= len(uses):
        raise ValueError(Errors.E747.format(found=n_groups, n_uses=len(uses)))
    unit = unit_rows(uses)
    return SenseMap(word, uses, lay_out(unit, plane), group_vectors(unit, n_groups), n_found)


def find_uses(doc: Doc, word: str) -> list[Token]:
    return [token for token in doc if token.lower_ == word.lower()]


def lay_out(vectors: Floats, plane: str) -> Floats:
    """(n, D) to (n, 2)."""
    if plane == "pca":
        centre, axes = find_plane(vectors)
        return (vectors - centre) @ axes.T
    try:
        import umap
    except ImportError as error:
        raise ImportError(Errors.E746) from error
    n_near = min(15, len(vectors) - 1)
    reducer = umap.UMAP(n_neighbors=n_near, metric="cosine", init="random", random_state=0)
    points: Floats = reducer.fit_transform(vectors)
    return points


def find_plane(vectors: Floats) -> tuple[Floats, Floats]:
    """The centre of vectors, (D,), and the two directions in which they spread most, (2, D)."""
    centre: Floats = vectors.mean(axis=0)
    axes: Floats = np.linalg.svd(vectors - centre, full_matrices=False)[2][:2]
    return centre, axes
