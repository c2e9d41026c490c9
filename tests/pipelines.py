"""Small pipelines for the tests: both encoders, built from configs as users write them."""

from collections.abc import Sequence
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_ctxemb.thinc_model.embedder_shim import get_shim

#: Vectors of unit variance, and each sentence by itself.
OWN: dict[str, Any] = {
    "mix": {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "document"},
    "split_sentences": True,
}
BILM: dict[str, Any] = {
    **OWN,
    "encoder": {
        "@architectures": "spacy-ctxemb.BiLM.v1",
        "width": 16,
        "hidden_width": 12,
        "filters": [[1, 4], [3, 6]],
        "character_width": 4,
    },
    "pieces": {"@architectures": "spacy-ctxemb.CharacterPieces.v1"},
}
TRANSFORMER: dict[str, Any] = {
    **OWN,
    "encoder": {
        "@architectures": "spacy-ctxemb.Transformer.v1",
        "vocab_size": 200,
        "width": 16,
        "n_blocks": 2,
        "n_heads": 2,
        "feedforward_width": 32,
        "max_length": 32,
        "n_segments": 2,
    },
    "pieces": {"@architectures": "spacy-ctxemb.WordPieces.v1", "vocab_size": 200},
    "window": 30,
    "stride": 20,
}
MODELS = {"bilm": BILM, "transformer": TRANSFORMER}
WIDTH = 16

NER_DATA = [
    ("Ada Lovelace lives in Oslo.", {"entities": [(0, 12, "PERSON"), (22, 26, "LOC")]}),
    ("We met Grace in Lima yesterday.", {"entities": [(7, 12, "PERSON"), (16, 20, "LOC")]}),
    ("Nobody came to the party.", {"entities": []}),
    ("Oslo is colder than Lima.", {"entities": [(0, 4, "LOC"), (20, 24, "LOC")]}),
]
TEXTCAT_DATA = [
    ("The bank raised its interest rate.", {"cats": {"money": 1.0, "nature": 0.0}}),
    ("Otters slept on the river bank.", {"cats": {"money": 0.0, "nature": 1.0}}),
    ("My loan was refused.", {"cats": {"money": 1.0, "nature": 0.0}}),
    ("A heron fished in the river.", {"cats": {"money": 0.0, "nature": 1.0}}),
]

TEXTS = ["I sat on the bank of the river.", "Money in the bank.", "", "one", "a  \n b"]


def listener(**settings: Any) -> dict[str, Any]:
    """The config of spaCy's own listener."""
    return {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, **settings}


def ner_config(tok2vec: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "ner",
            "extra_state_tokens": False,
            "hidden_width": 16,
            "maxout_pieces": 2,
            "use_upper": True,
            "tok2vec": tok2vec,
        }
    }


def textcat_config(tok2vec: dict[str, Any], *, exclusive: bool = True) -> dict[str, Any]:
    return {
        "model": {
            "@architectures": "spacy.TextCatReduce.v1",
            "exclusive_classes": exclusive,
            "use_reduce_first": False,
            "use_reduce_last": False,
            "use_reduce_max": False,
            "use_reduce_mean": True,
            "tok2vec": tok2vec,
        }
    }


def inline_model(model: dict[str, Any]) -> dict[str, Any]:
    """A complete `ContextualTok2Vec`, to stand inside another component."""
    return {
        "@architectures": "spacy-ctxemb.ContextualTok2Vec.v1",
        "mix": {"@architectures": "spacy-ctxemb.ScalarMix.v1"},
        **model,
    }


def blank(model: dict[str, Any] = BILM, **settings: Any) -> Language:
    """English with an uninitialised `ctxemb`. settings: of the component."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"model": model, **settings})
    return nlp


def initialised(model: dict[str, Any] = BILM, *, seed: int = 0, **settings: Any) -> Language:
    """English with a randomly initialised `ctxemb`."""
    nlp = blank(model, **settings)
    fix_random_seed(seed)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


def with_ner(model: dict[str, Any] = BILM, **settings: Any) -> Language:
    """`ctxemb` and an NER that listens to it, initialised."""
    nlp = blank(model, **settings)
    nlp.add_pipe("ner", config=ner_config(listener()))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


def examples(nlp: Language, data: list[Any]) -> list[Example]:
    return [Example.from_dict(nlp.make_doc(text), annotation) for text, annotation in data]


def parameters(nlp: Language) -> dict[str, torch.Tensor]:
    """Copies of all parameters of `ctxemb`."""
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    return {name: p.detach().clone() for name, p in shim.named_parameters()}


def vectors(nlp: Language, texts: Sequence[str] = TEXTS) -> list[Any]:
    """doc.tensor of each text."""
    return [doc.tensor for doc in nlp.pipe(texts)]


def learn_by_heart(
    nlp: Language, data: list[Any], *scores: str, rate: float = 0.005, **settings: Any
) -> None:
    """Train until all of these scores are 1; fail where 480 updates are not enough."""
    egs, optimizer = examples(nlp, data), Adam(rate)
    for step in range(480):
        nlp.update(egs, sgd=optimizer, **settings)
        if step % 10 == 9:
            found = nlp.evaluate(examples(nlp, data))
            if all(found[name] == 1.0 for name in scores):
                return
    raise AssertionError({name: found[name] for name in scores})


def update(nlp: Language, data: list[Any], steps: int = 1, **settings: Any) -> dict[str, Any]:
    """Train; returns the scores on the same data."""
    optimizer = Adam(0.005)
    for _ in range(steps):
        nlp.update(examples(nlp, data), sgd=optimizer, **settings)
    return nlp.evaluate(examples(nlp, data))
