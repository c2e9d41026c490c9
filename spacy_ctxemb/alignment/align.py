"""`spacy_ctxemb.align`: which tokens of two Docs mean the same, by their vectors."""

from typing import NamedTuple

import numpy as np
from spacy.tokens import Doc, Token

from ..errors import Errors
from .html import to_html
from .methods import METHODS, Floats


class AlignedPair(NamedTuple):
    """A token of each Doc, and the cosine of their vectors."""

    a: Token
    b: Token
    score: float


class Alignment(list[AlignedPair]):
    """The pairs of two Docs, in their order. A notebook shows them as lines between two rows."""

    def __init__(self, doc_a: Doc, doc_b: Doc, pairs: list[AlignedPair]) -> None:
        super().__init__(pairs)
        self.doc_a, self.doc_b = doc_a, doc_b

    def to_html(self, name: str = "Alignment") -> str:
        """An SVG with the lines, and a table of the pairs; HTML to stand in a page. name: by which
        those who do not see it tell it from others."""
        a, b = ([token.text for token in doc] for doc in (self.doc_a, self.doc_b))
        return to_html(a, b, [(one.a.i, one.b.i, one.score) for one in self], name)

    def to_pharaoh(self) -> str:
        """The positions of the tokens, from 0: `0-0 1-2`."""
        return " ".join(f"{one.a.i}-{one.b.i}" for one in self)

    def _repr_html_(self) -> str:
        return self.to_html()


def align(doc_a: Doc, doc_b: Doc, method: str = "argmax") -> Alignment:
    """Find the tokens of two Docs that mean the same: of a text and its translation, where one
    encoder knows both languages, or of two versions of a text.

    method: "argmax" for pairs of which each is the other's nearest; "itermax" for these, and in a
        second round for tokens that are left, also with those that have a partner already; "match"
        for one partner for each token of the shorter Doc, such that the sum of similarities is
        largest, which needs SciPy.
    White space and other tokens without a vector have no partner.

    Source: Jalili Sabet et al. 2020, "SimAlign: High Quality Word Alignments without Parallel
    Training Data using Static and Contextualized Embeddings", section 3.

    Raises E750 for a Doc without vectors, E751 for vectors of two widths, E752 for another method,
    E753 and E754 for a "match" that cannot be.

        align(nlp("The cat sleeps."), nlp("A cat is sleeping."), "itermax").to_pharaoh()
    """
    if method not in METHODS:
        raise ValueError(Errors.E752.format(method=method, options=list(METHODS)))
    (places_a, X), (places_b, Y) = read_vectors(doc_a, "first"), read_vectors(doc_b, "second")
    if not len(X) or not len(Y):
        return Alignment(doc_a, doc_b, [])
    if X.shape[1] != Y.shape[1]:
        raise ValueError(Errors.E751.format(a=X.shape[1], b=Y.shape[1]))
    pairs = [
        AlignedPair(doc_a[places_a[i]], doc_b[places_b[j]], float(X[i] @ Y[j]))
        for i, j in sorted(METHODS[method](X, Y))
    ]
    return Alignment(doc_a, doc_b, pairs)


def read_vectors(doc: Doc, which: str) -> tuple[list[int], Floats]:
    """The places of the tokens that have vectors, and the vectors with length 1. (n, width)"""
    words = [token for token in doc if not token.is_space]
    vectors = [token.vector for token in words]
    rows = np.array([v.get() if hasattr(v, "get") else v for v in vectors], dtype=np.float64)
    if not words:
        return [], np.zeros((0, 0))
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.any():
        raise ValueError(Errors.E750.format(which=which, n=len(doc), text=doc.text[:40]))
    has_vector = lengths > 0
    places = [token.i for token, is_known in zip(words, has_vector, strict=True) if is_known]
    return places, rows[has_vector] / lengths[has_vector, None]
