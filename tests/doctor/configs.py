"""Small configs to examine, with a text classifier on a tiny encoder."""

from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import DocBin
from thinc.api import Config

from spacy_ctxemb.doctor.build_parts import Plan, read_plan
from spacy_ctxemb.doctor.findings import Finding, Level

from ..pipelines import BILM, TEXTCAT_DATA, listener, textcat_config

TEXTS = [f"{text} It was {i}." for i, (text, _) in enumerate(TEXTCAT_DATA * 6)]


def write_texts(path: Path, texts: list[str]) -> str:
    """Texts of two labels in turn."""
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in texts]
    for i, doc in enumerate(docs):
        doc.cats = {"money": float(i % 2), "nature": float(1 - i % 2)}
    DocBin(docs=docs).to_disk(path)
    return str(path)


def embedder(**model: Any) -> dict[str, Any]:
    return {"factory": "ctxemb", "model": {**BILM, **model}}


def classifier(**settings: Any) -> dict[str, Any]:
    return {"factory": "textcat", **textcat_config(listener(**settings))}


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
            "nlp": {"lang": "en", "pipeline": list(components), "disabled": disabled or []},
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
    told = [one.advice or one.message[:2] == "[E" for one in found if one.level is not Level.ok]
    assert all(told)
    return [one.message for one in found if one.level is level]


def errors(findings: Any) -> list[str]:
    return messages(findings, Level.error)


def warnings(findings: Any) -> list[str]:
    return messages(findings, Level.warning)
