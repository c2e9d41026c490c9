"""The uses of words that a use of a word is most like, in a corpus."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc, Token
from thinc.api import to_numpy

from ..errors import Errors

Floats = NDArray[np.float32]


class Neighbour(NamedTuple):
    """token: in its Doc. score: the cosine."""

    token: Token
    score: float


class Neighbours(list[Neighbour]):
    """A list that shows itself in a notebook."""

    def _repr_html_(self) -> str:
        from .html import render_parts

        return render_parts(neighbours=self)


def find_neighbours(
    nlp: Language, token: Token, corpus: Iterable[str | Doc], n: int = 10
) -> Neighbours:
    """The n tokens of a corpus with the most similar vectors, by exact cosines, the best first.

    token: of a Doc of this pipeline; it is not its own neighbour. corpus: texts, or Docs, of which
        those without vectors are read by the pipeline.
    Raises E742 for a corpus without words, E743 for a token without a vector, E749 for what is
    no corpus.

        token = nlp("She sat on the river bank.")[5]
        find_neighbours(nlp, token, ["A bank lends money.", "They swam to the shore."])
    """
    if not isinstance(n, int) or n < 1:
        raise ValueError(Errors.E749.format(name="n", found=repr(n), expected="1 or more"))
    check_type(token, "token", Token)
    (own,) = unit_rows([token])
    is_empty, best = True, list[Neighbour]()
    for doc in read_corpus(nlp, corpus):
        tokens = [one for one in doc if not one.is_space]
        is_empty = is_empty and not tokens
        others = [one for one in tokens if doc is not token.doc or one.i != token.i]
        cosines = unit_rows(others, may_lack=True) @ own if others else []
        found = (Neighbour(one, float(x)) for one, x in zip(others, cosines, strict=True))
        best = heapq.nlargest(n, [*best, *found], key=lambda one: one.score)
    if is_empty:
        raise ValueError(Errors.E742)
    return Neighbours(best)


def read_corpus(nlp: Language, corpus: Iterable[str | Doc]) -> Iterator[Doc]:
    """Docs with vectors. Raises E749 for one text in the place of several, and for other things."""
    if isinstance(corpus, str | Doc) or not isinstance(corpus, Iterable):
        names = {"name": "corpus", "found": repr(corpus)[:60]}
        raise ValueError(Errors.E749.format(**names, expected="a list of texts or Docs"))
    for one in corpus:
        check_type(one, "a text of the corpus", str, Doc)
        if isinstance(one, str):
            yield nlp(one)
        elif any(token.has_vector for token in one):
            yield one
        else:
            yield nlp(one.copy())


def check_type(value: object, name: str, *types: type) -> None:
    """Raise E749 for a value of another type."""
    if not isinstance(value, types):
        expected = " or ".join(one.__name__ for one in types)
        found = f"of type {type(value).__name__}"
        raise ValueError(Errors.E749.format(name=name, found=found, expected=expected))


def unit_rows(tokens: list[Token], *, may_lack: bool = False) -> Floats:
    """The vectors of tokens, of length 1. (n, width)

    Raises E743 for a token without a vector; with may_lack its row is 0.
    """
    rows: Any = np.array([to_numpy(token.vector) for token in tokens], dtype=np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    lacking = np.flatnonzero(norms == 0)
    if len(lacking) and not may_lack:
        token = tokens[lacking[0]]
        raise ValueError(Errors.E743.format(word=token.text, text=token.doc.text[:80]))
    unit: Floats = rows / np.where(norms == 0, 1, norms)
    return unit
