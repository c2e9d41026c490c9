"""Nearest neighbours in context."""

import numpy as np
import spacy

from spacy_ctxemb.pretraining.log_nearest_neighbours import find_nearest


def test_each_text_has_one_neighbour_at_most() -> None:
    nlp = spacy.blank("en")
    docs = [nlp(text) for text in ("x", "a b c d", "e f", "g", "h")]
    tokens = [token for doc in docs for token in doc]
    # By angle from x, the nearest first: a, b, c, d, e, f, g, h.
    angles = np.arange(len(tokens)) / 10
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert [tokens[i].text for i in find_nearest(unit, 0, tokens)] == ["a", "e", "g", "h"]
    assert [tokens[i].text for i in find_nearest(unit, 5, tokens)] == ["d", "g", "h", "x"]
