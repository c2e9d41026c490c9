"""Small configs to examine, with a text classifier on a tiny encoder.

Their language is xx, whose tokenizer is built in no time.
"""

from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import DocBin
from thinc.api import Config

from spacy_ctxemb.doctor.build_components import Plan, read_plan
from spacy_ctxemb.doctor.findings import Finding, Level

from ..pipelines import BILM, NER_DATA, TEXTCAT_DATA, examples, listener, textcat_config

TEXTS = [f"{text} It was {i}." for i, (text, _) in enumerate(TEXTCAT_DATA * 6)]


def write_texts(path: Path, texts: list[str]) -> str:
    """Texts of two labels in turn."""
    nlp = spacy.blank("xx")
    docs = [nlp.make_doc(text) for text in texts]
    for i, doc in enumerate(docs):
        doc.cats = {"money": float(i % 2), "nature": float(1 - i % 2)}
    DocBin(docs=docs).to_disk(path)
    return str(path)


def write_pipeline(path: Path, model: dict[str, Any] = BILM) -> dict[str, Any]:
    """Store a pipeline with weights. Returns the config of a component from it."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("ctxemb", config={"model": model})
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    nlp.to_disk(path)
    return {"source": str(path)}


def embedder(**model: Any) -> dict[str, Any]:
    return {"factory": "ctxemb", "model": {**BILM, **model}}


def classifier(**settings: Any) -> dict[str, Any]:
    return {"factory": "textcat", **textcat_config(listener(**settings))}


def mixer(width: int, **settings: Any) -> dict[str, Any]:
    """A text classifier that mixes the layers of an encoder."""
    mix = {"@architectures": "spacy-ctxemb.LayerMixListener.v1", "upstream": "ctxemb"}
    return {"factory": "textcat", **textcat_config({**mix, "width": width, **settings})}


def tok2vec(width: int = 16) -> dict[str, Any]:
    return {
        "factory": "tok2vec",
        "model": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "pretrained_vectors": None,
            "width": width,
            "depth": 1,
            "embed_size": 100,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
        },
    }


def build_config(
    components: dict[str, Any] | None = None,
    *,
    corpora: dict[str, str] | None = None,
    training: dict[str, Any] | None = None,
    disabled: list[str] | None = None,
    **sections: Any,
) -> Config:
    """components: in their order. corpora: paths of train and dev."""
    components = components or {"ctxemb": embedder(), "textcat": classifier()}
    readers = {
        name: {"@readers": "spacy.Corpus.v1", "path": path}
        for name, path in (corpora or {"train": "train.spacy", "dev": "dev.spacy"}).items()
    }
    return Config(
        {
            "nlp": {"lang": "xx", "pipeline": list(components), "disabled": disabled or []},
            "components": components,
            "corpora": readers,
            "training": training or {},
            **sections,
        }
    )


def build_plan(*arguments: Any, **settings: Any) -> Plan:
    return read_plan(build_config(*arguments, **settings))


def messages(findings: Any, level: Level) -> list[str]:
    """What is said at one level. Messages with a code contain their advice."""
    found: list[Finding] = list(findings)
    told = [
        one.advice or one.message[:2] in ("[E", "[W") for one in found if one.level is not Level.ok
    ]
    assert all(told)
    return [one.message for one in found if one.level is level]


def errors(findings: Any) -> list[str]:
    return messages(findings, Level.error)


def warnings(findings: Any) -> list[str]:
    return messages(findings, Level.warning)
