"""Pipelines and indexes as this version stores them, and what they make of texts.

    python -m tests.golden.make_golden

writes them to tests/golden/VERSION. Later versions load them and compare, in
tests/test_versions.py. Run it when a version has something new to store. Files of earlier versions
stay as they are.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from spacy.language import Language
from spacy.training import Example
from thinc.api import fix_random_seed

import spacy_ctxemb
from spacy_ctxemb.heads.fill_mask import fill_mask
from spacy_ctxemb.search import Index

from ..bert_models import FAMILIES
from ..pipelines import BILM, TRANSFORMER, inline_model, listener, ner_config

FOLDER = Path(__file__).parent

TEXTS = [
    "Ada Lovelace wrote to Babbage in London.",
    "I sat on the bank of the river. Then it rained.",
    "",
    "Money \n in the bank",
]
QUESTION = "Who wrote to Babbage?"

ENTITIES = {"entities": [(0, 12, "PERSON"), (33, 39, "LOC")]}
ANNOTATIONS: list[dict[str, Any]] = [
    {**ENTITIES, "cats": {"money": 0.0, "nature": 0.0}},
    {"entities": [], "cats": {"money": 0.0, "nature": 1.0}},
    {},
    {"entities": [], "cats": {"money": 1.0, "nature": 0.0}},
]

STACK = {
    "@architectures": "spacy-ctxemb.Stack.v1",
    "combine": "mix",
    "members": {"letters": inline_model(BILM), "words": inline_model(TRANSFORMER)},
}


def build_pipelines() -> dict[str, Language]:
    """One of each kind of encoder, and of each kind of head."""
    return {
        "bilm": build(BILM, ner=ner_config(listener())),
        "transformer": build(TRANSFORMER, ctxemb_ner={}, ctxemb_textcat={}, ctxemb_qa={}),
        "stack": build(STACK),
        "bert_mlm": spacy_ctxemb.load(FAMILIES / "bert_mlm", lang="xx", head="masked"),
        "roberta": spacy_ctxemb.load(FAMILIES / "roberta", lang="xx"),
        "modernbert": spacy_ctxemb.load(FAMILIES / "modernbert", lang="xx"),
    }


def build(model: dict[str, Any], **heads: dict[str, Any]) -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("ctxemb", config={"model": model})
    for name, config in heads.items():
        nlp.add_pipe(name, config=config)
    pairs = zip(TEXTS, ANNOTATIONS, strict=True)
    own = [Example.from_dict(nlp.make_doc(text), annotation) for text, annotation in pairs if text]
    nlp.initialize(lambda: own)
    return nlp


def observe(nlp: Language) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a pipeline makes of the texts: vectors, and all that is said of them."""
    docs = list(nlp.pipe(TEXTS))
    vectors = {f"tensor_{i}": doc.tensor for i, doc in enumerate(docs)}
    said: dict[str, Any] = {
        "ents": [[[ent.text, ent.label_] for ent in doc.ents] for doc in docs],
        "cats": [doc.cats for doc in docs],
    }
    if "ctxemb_qa" in nlp.pipe_names:
        answers = nlp.get_pipe("ctxemb_qa").find_answers(QUESTION, TEXTS[0], 2).found  # type: ignore[attr-defined]
        said["answers"] = [list(answer) for answer in answers]
    if "ctxemb_fill_mask" in nlp.pipe_names:
        said["hidden"] = [list(one) for one in fill_mask(nlp, docs[1], 4, 2)]
    return vectors, said


def build_indexes(nlp: Language) -> dict[str, Index]:
    """One of each kind of store."""
    found = {
        "exact": Index(nlp, dtype="float16"),
        "graph": Index(nlp, level="doc", dtype="int8", exact_limit=1),
    }
    for index in found.values():
        index.add([(text, f"text-{i}") for i, text in enumerate(TEXTS)])
    return found


def observe_index(index: Index) -> list[list[Any]]:
    return [[hit.id, hit.text, hit.score] for hit in index.search("water", n=3)]


def make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    all_said: dict[str, Any] = {}
    for name, nlp in build_pipelines().items():
        nlp.to_disk(folder / name)
        vectors, all_said[name] = observe(spacy.load(folder / name))
        np.savez_compressed(folder / name / "expected.npz", **vectors)
        if name == "transformer":
            for kind, index in build_indexes(spacy.load(folder / name)).items():
                index.save(folder / f"index_{kind}")
                all_said[f"index_{kind}"] = observe_index(index)
    text = json.dumps(all_said, indent=1, ensure_ascii=False)
    (folder / "expected.json").write_text(f"{text}\n", encoding="utf8")


if __name__ == "__main__":
    make(FOLDER / spacy_ctxemb.__version__)
