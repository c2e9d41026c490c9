"""Models of components on top of contextual vectors: sections of a config.

Context is in the vectors already, so a head has no encoder of its own, unless it is to learn what a
frozen one does not know.
"""

from collections.abc import Callable
from typing import Any

Section = dict[str, Any]

#: From the section of a listener, and whether the head is to be small, to that of a component.
BuildHead = Callable[[Section, bool], Section]


#: A small one of spaCy's.
CNN: Section = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 96,
    "depth": 4,
    "embed_size": 2000,
    "window_size": 1,
    "maxout_pieces": 3,
    "subword_features": True,
    "pretrained_vectors": None,
}


def stack_cnn(listener: Section) -> Section:
    """What a listener reads, and beside it the vectors of a network that the task trains."""
    return {
        "@architectures": "spacy-ctxemb.Stack.v1",
        "combine": "concat",
        "members": {"cnn": CNN, "context": listener},
    }


def transition_parser(state_type: str) -> BuildHead:
    """A greedy parser by transitions: of entities, or of dependencies."""

    def build(tok2vec: Section, is_small: bool) -> Section:
        model = {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": state_type,
            "extra_state_tokens": False,
            "hidden_width": 64 if is_small else 128,
            "maxout_pieces": 2 if is_small else 3,
            "use_upper": True,
            "tok2vec": tok2vec,
        }
        return {"factory": state_type, "model": model}

    return build


def token_classifier(factory: str) -> BuildHead:
    """A softmax over the vector of each token."""

    def build(tok2vec: Section, is_small: bool) -> Section:
        return {
            "factory": factory,
            "model": {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec},
        }

    return build


def text_classifier(factory: str, *, exclusive: bool) -> BuildHead:
    """A linear layer on the mean of the vectors, which empty texts have too."""

    def build(tok2vec: Section, is_small: bool) -> Section:
        model = {
            "@architectures": "spacy.TextCatReduce.v1",
            "exclusive_classes": exclusive,
            "use_reduce_first": False,
            "use_reduce_last": False,
            "use_reduce_max": False,
            "use_reduce_mean": True,
            "tok2vec": tok2vec,
        }
        return {"factory": factory, "model": model}

    return build


def span_classifier(tok2vec: Section, is_small: bool) -> Section:
    """A score for each stretch of up to three tokens."""
    model = {
        "@architectures": "spacy.SpanCategorizer.v1",
        "reducer": {
            "@layers": "spacy.mean_max_reducer.v1",
            "hidden_size": 128 if is_small else 256,
        },
        "scorer": {"@layers": "spacy.LinearLogistic.v1", "nO": None, "nI": None},
        "tok2vec": tok2vec,
    }
    return {"factory": "spancat", "model": model}


HEADS: dict[str, BuildHead] = {
    "ner": transition_parser("ner"),
    "textcat": text_classifier("textcat", exclusive=True),
    "textcat_multilabel": text_classifier("textcat_multilabel", exclusive=False),
    "tagger": token_classifier("tagger"),
    "morphologizer": token_classifier("morphologizer"),
    "parser": transition_parser("parser"),
    "senter": token_classifier("senter"),
    "spancat": span_classifier,
}
