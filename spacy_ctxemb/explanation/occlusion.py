"""What each token adds to a score: the score of the text, minus that of the text without it.

Source: Li et al. 2016, "Understanding Neural Networks through Representation Erasure".
"""

from collections.abc import Iterator, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from .attribution import Attribution
from .scores import score_docs
from .targets import CATS, Target

#: In the place of a token that is hidden.
ELLIPSIS = "…"


def occlude(
    nlp: Language, name: str, kind: str, doc: Doc, targets: Sequence[Target], hide: str | None
) -> list[Attribution]:
    """hide: see `explain`."""
    shown = hide if hide is not None else "" if kind == CATS else ELLIPSIS
    places = [token.i for token in doc if not token.is_space]

    def list_variants() -> Iterator[tuple[Doc, Sequence[Target]]]:
        yield copy_tokens(doc), targets
        for i in places:
            moved = targets if shown else [shift(target, i) for target in targets]
            yield copy_tokens(doc, i, shown), moved

    scores = score_docs(nlp, name, kind, list_variants())  # (1 + n, n_targets)
    found = []
    for target, column in zip(targets, scores.T, strict=True):
        values = np.zeros(len(doc))
        values[places] = column[0] - column[1:]
        found.append(Attribution(doc, name, target, "occlusion", float(column[0]), values))
    return found


def copy_tokens(doc: Doc, i: int | None = None, shown: str = "") -> Doc:
    """The bare tokens of a Doc, without token i, or with a word in its place."""
    words, spaces = [token.text for token in doc], [bool(token.whitespace_) for token in doc]
    if i is not None:
        words[i : i + 1] = [shown] if shown else []
        spaces[i : i + 1] = [spaces[i]] if shown else []
    return Doc(doc.vocab, words=words, spaces=spaces)


def shift(target: Target, i: int) -> Target:
    """The same tokens where token i is left out."""
    if target.span is None:
        return target
    start, end = target.span
    return target._replace(span=(start - (i < start), end - (i < end)))
