"""A small pipeline whose labels are explained: two heads on an encoder."""

from functools import cache
from typing import Any

import spacy
from spacy.language import Language
from thinc.api import Adam, fix_random_seed

from ..pipelines import BILM, NER_DATA, TEXTCAT_DATA, TRANSFORMER, examples

DATA = [
    (text, {**annotation, **cats})
    for (text, annotation), (_, cats) in zip(NER_DATA, TEXTCAT_DATA, strict=True)
]
TEXT = "Ada Lovelace lives in Oslo. We met Grace in Lima."
MODELS = {"bilm": BILM, "transformer": TRANSFORMER}


@cache
def build_heads(name: str, kind: str = "single_label") -> Language:
    """A trained pipeline; only read it."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("ctxemb", config={"model": MODELS[name], "pretrained": None})
    nlp.add_pipe("ctxemb_textcat", config={"kind": kind})
    nlp.add_pipe("ctxemb_ner", config={"aggregation": "average"})
    return train(nlp, DATA, 40 if name == "transformer" else 8)


@cache
def build_own() -> Language:
    """spaCy's own components."""
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat")
    nlp.add_pipe("ner")
    nlp.add_pipe("spancat", config={"spans_key": "sc", "threshold": 0.3})
    nlp.add_pipe("sentencizer")
    data = [(text, {**gold, "spans": {"sc": gold["entities"]}}) for text, gold in DATA]
    return train(nlp, data, 30)


def train(nlp: Language, data: Any, steps: int) -> Language:
    fix_random_seed(0)
    egs, optimizer = examples(nlp, data), Adam(0.01)
    nlp.initialize(lambda: egs)
    for _ in range(steps):
        nlp.update(egs, sgd=optimizer)
    return nlp
