"""Pipelines with several encoders at once, for the tests."""

from typing import Any

import numpy as np
import spacy
from spacy.language import Language
from thinc.api import fix_random_seed

from .pipelines import (
    BILM,
    NER_DATA,
    TEXTCAT_DATA,
    TRANSFORMER,
    examples,
    inline_model,
    listener,
    ner_config,
)

STATIC_WIDTH = 10
STATIC = {"@architectures": "spacy-ctxemb.StaticVectors.v1", "width": 6}
CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 8,
    "depth": 1,
    "embed_size": 50,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
MEMBERS: dict[str, dict[str, Any]] = {
    "elmo": inline_model(BILM),
    "bert": inline_model(TRANSFORMER),
    "static": STATIC,
}

#: Both ways to combine, and the width of the result.
COMBINE: dict[str, dict[str, Any]] = {"concat": {}, "mix": {"combine": "mix", "width": 20}}
WIDTHS = {"concat": 16 + 16 + 6, "mix": 20}


def stack(members: dict[str, Any] = MEMBERS, **settings: Any) -> dict[str, Any]:
    """The config of a Stack."""
    return {"@architectures": "spacy-ctxemb.Stack.v1", "members": members, **settings}


def with_vectors() -> Language:
    """English with static vectors of the words of the tests, but for a few."""
    nlp = spacy.blank("en")
    generator = np.random.default_rng(0)
    for text, _ in (*NER_DATA, *TEXTCAT_DATA):
        for token in nlp.make_doc(text):
            row = generator.normal(size=STATIC_WIDTH).astype("float32")
            if token.text != "Oslo":
                nlp.vocab.set_vector(token.text, row)
    return nlp


def stacked(model: dict[str, Any], *, seed: int = 0, **settings: Any) -> Language:
    """English with an initialised `ctxemb` of several encoders."""
    nlp = with_vectors()
    nlp.add_pipe("ctxemb", config={"model": model, **settings})
    fix_random_seed(seed)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


def stacked_ner(model: dict[str, Any], width: int, *, seed: int = 0) -> Language:
    """The same with an NER that listens to it."""
    nlp = with_vectors()
    nlp.add_pipe("ctxemb", config={"model": model})
    nlp.add_pipe("ner", config=ner_config(listener(width=width)))
    fix_random_seed(seed)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp
