"""A small pipeline that finds sentences, and texts to search in."""

from spacy.language import Language

from ..pipelines import TRANSFORMER, initialised

TEXTS = [
    ("Otters slept on the bank. They were wet.", "otters"),
    ("The bank raised its rate. My loan was refused.", "money"),
    ("A heron fished in the river. Nobody came.", "heron"),
]


def build_pipeline(*, seed: int = 0) -> Language:
    """A tiny encoder with random weights, and sentences."""
    nlp = initialised(TRANSFORMER, seed=seed)
    nlp.add_pipe("sentencizer", first=True)
    return nlp
