"""Sections of a config that make the component `ctxemb`, or take it from a pipeline."""

from typing import Any, NamedTuple

from ..pretrained import read_model
from .choices import SHIPPED, Choices
from .sources import Source

Section = dict[str, Any]

#: The name of a component that is new.
NAME = "ctxemb"

#: By encoder, and whether it is to be small. The small ones are those of the project's configs.
ENCODERS: dict[tuple[str, bool], Section] = {
    ("bilm", True): {"width": 256, "hidden_width": 256},
    ("bilm", False): {"width": 512, "hidden_width": 1024},
    ("transformer", True): {
        "vocab_size": 4000,
        "width": 192,
        "n_blocks": 2,
        "n_heads": 4,
        "feedforward_width": 768,
        "pre_norm": True,
    },
    ("transformer", False): {
        "vocab_size": 8000,
        "width": 384,
        "n_blocks": 6,
        "n_heads": 6,
        "feedforward_width": 1536,
        "max_length": 256,
        "pre_norm": True,
    },
}
ARCHITECTURES = {"bilm": "spacy-ctxemb.BiLM.v1", "transformer": "spacy-ctxemb.Transformer.v1"}
OBJECTIVES = {
    "bilm": "spacy-ctxemb.BiLMObjective.v1",
    "transformer": "spacy-ctxemb.MaskedLMObjective.v1",
}


class Upstream(NamedTuple):
    """The component that the heads listen to.

    section: of the config. listener: what stands as the `tok2vec` of a head.
    """

    name: str
    section: Section
    listener: Section


def build_new(choices: Choices) -> Upstream:
    """An encoder that begins with random weights, or with those of `init_tok2vec`."""
    settings = ENCODERS[choices.encoder, choices.is_small]
    place = f"components.{NAME}.model.encoder"
    encoder = {"@architectures": ARCHITECTURES[choices.encoder], **settings}
    pieces: Section = {"@architectures": "spacy-ctxemb.CharacterPieces.v1"}
    if "vocab_size" in settings:
        size = f"${{{place}.vocab_size}}"
        pieces = {"@architectures": "spacy-ctxemb.WordPieces.v1", "vocab_size": size}
    model = {
        "@architectures": "spacy-ctxemb.ContextualTok2Vec.v1",
        "encoder": encoder,
        "pieces": pieces,
        "mix": {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "document"},
    }
    width = f"${{{place}.width}}"
    listener = build_listener(NAME, width, mixes=choices.wants_mix)
    return Upstream(NAME, {"factory": "ctxemb", "model": model}, listener)


def build_shipped(choices: Choices) -> Upstream:
    """An encoder that begins with weights of the package."""
    name = SHIPPED[choices.encoder]
    width = f"${{components.{NAME}.model.encoder.width}}"
    section = {"factory": "ctxemb", "pretrained": name, "model": read_model(name)}
    return Upstream(NAME, section, build_listener(NAME, width, mixes=choices.wants_mix))


def build_sourced(source: Source, *, mixes: bool) -> Upstream:
    """An encoder with the weights and settings of its pipeline."""
    width = source.encoder_width if mixes else source.width
    listener = build_listener(source.name, width, mixes=mixes)
    return Upstream(source.name, {"source": source.path}, listener)


def build_listener(upstream: str, width: object, *, mixes: bool) -> Section:
    """What reads the vectors of a component, or mixes its layers."""
    if not mixes:
        name = "spacy.Tok2VecListener.v1"
        return {"@architectures": name, "width": width, "upstream": upstream}
    return {
        "@architectures": "spacy-ctxemb.LayerMixListener.v1",
        "width": width,
        "upstream": upstream,
        "layer_norm": "document",
    }


def build_pretraining(encoder: str) -> Section:
    """What tells spaCy which model `init_tok2vec` is for; the rest it wants to see."""
    batcher = {"@batchers": "spacy.batch_by_words.v1", "size": 1000}
    return {
        "component": NAME,
        "layer": "",
        "max_epochs": 1,
        "dropout": 0.1,
        "n_save_every": None,
        "n_save_epoch": None,
        "corpus": "corpora.train",
        "objective": {"@architectures": OBJECTIVES[encoder], "corpus": "${corpora.train}"},
        "batcher": {**batcher, "discard_oversize": False, "tolerance": 0.2},
        "optimizer": {"@optimizers": "Adam.v1"},
    }
