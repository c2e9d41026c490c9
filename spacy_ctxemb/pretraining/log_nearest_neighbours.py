"""Nearest neighbours of words in context, so that one sees meaning appear."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc, Token

from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import find_shims
from .pretrain_section import PretrainSettings

#: Held-out texts among which neighbours are looked for, and characters of each.
N_TEXTS, N_CHARACTERS = 500, 400

#: Occurrences of a word that are shown, neighbours of each, and words of context.
N_OCCURRENCES, N_NEIGHBOURS, N_CONTEXT = 2, 4, 3


class Neighbours:
    """Finds the words of `settings.neighbours` in held-out text, and their neighbours there.

    Example:
        neighbours = Neighbours(model, nlp, settings)
        print(*neighbours.format_lines(), sep="\\n")
    """

    def __init__(self, model: ContextualModel, nlp: Language, settings: PretrainSettings) -> None:
        self.model = model
        self.words = settings.neighbours
        texts = (text[:N_CHARACTERS] for document in settings.held_out for text in document)
        self.docs = choose_docs(map(nlp.make_doc, islice(texts, 20 * N_TEXTS)), set(self.words))

    def format_lines(self) -> Iterator[str]:
        vectors = self._predict()
        tokens = [token for doc in self.docs for token in doc]
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        for word in self.words:
            places = [i for i, token in enumerate(tokens) if token.text == word]
            for place in places[:N_OCCURRENCES]:
                nearest = find_nearest(unit, place, tokens)
                found = ", ".join(in_context(tokens[i], 1) for i in nearest)
                yield f"  {in_context(tokens[place], N_CONTEXT)}  ~  {found}"

    def _predict(self) -> NDArray[np.float32]:
        """Compute the vectors of all tokens, without the dropout of training. (W, D)"""
        (shim,) = find_shims(self.model)
        embedder = shim.embedder
        was_training = embedder.encoder.training
        embedder.eval()
        found = self.model.predict(self.docs)
        embedder.encoder.train(was_training)
        blank = np.zeros((0, embedder.width), dtype=np.float32)
        return np.concatenate([blank, *(self.model.ops.to_numpy(x) for x in found)])


def choose_docs(docs: Iterable[Doc], words: set[str]) -> list[Doc]:
    """Choose N_TEXTS documents, and others with words of which there are too few by then."""
    chosen = []
    n_others = 0
    found: Counter[str] = Counter()
    for doc in docs:
        here = {token.text for token in doc} & words
        if not any(found[word] < N_OCCURRENCES for word in here):
            if n_others == N_TEXTS:
                continue
            n_others += 1
        chosen.append(doc)
        found.update(here)
    return chosen


def find_nearest(unit: NDArray[np.float32], place: int, tokens: list[Token]) -> list[int]:
    """Find the most similar tokens in other texts, each text's best one only."""
    nearest = {id(tokens[place].doc): place}  # by text
    for i in np.argsort(-(unit @ unit[place])).tolist():
        if not tokens[i].is_space:
            nearest.setdefault(id(tokens[i].doc), i)
        if len(nearest) > N_NEIGHBOURS:
            break
    return [*nearest.values()][1:]


def in_context(token: Token, n: int) -> str:
    """Write a token in brackets, with n words on either side."""
    words = [other.text for other in token.doc]
    before, after = words[max(token.i - n, 0) : token.i], words[token.i + 1 : token.i + 1 + n]
    return " ".join([*before, f"[{token.text}]", *after])
