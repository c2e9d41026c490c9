"""Published heads find what the pipelines of transformers find. Needs that package."""

import random
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from torch import Tensor

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert
from spacy_ctxemb.heads.add_head import add_head
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..bert_models import FAMILIES
from ..checkpoints.family_texts import CORPUS
from ..pipelines import BILM, initialised, learn_by_heart
from ..stacks import stack, stacked

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

N_TEXTS = 200
WORDS = " ".join(CORPUS).split()
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
PLAIN = ["O", "PER", "LOC", "ORG", "MISC"]

#: The layers of a token head and of a text head: names in transformers, settings, what is read.
TEXT_HEADS: dict[str, tuple[str, str, dict[str, Any], dict[str, str]]] = {
    "bert": (
        *("first", "bert.pooler.dense", {"activation": "tanh"}),
        {"output": "classifier"},
    ),
    "distilbert": ("first", "pre_classifier", {"activation": "relu"}, {"output": "classifier"}),
    "roberta": (
        *("first", "classifier.dense", {"activation": "tanh"}),
        {"output": "classifier.out_proj"},
    ),
    "electra": (
        *("first", "classifier.dense", {"activation": "gelu"}),
        {"output": "classifier.out_proj"},
    ),
    "modernbert": (
        *("mean", "head.dense", {"activation": "gelu", "dense_bias": False, "norm_epsilon": 1e-3}),
        {"output": "classifier", "norm": "head.norm"},
    ),
}
FAMILY_NAMES = ["bert", "distilbert", "roberta", "electra", "xlm-roberta", "albert", "modernbert"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """transformers warns of heads without weights."""
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def list_texts(n: int = N_TEXTS) -> list[str]:
    """Stretches of a corpus, with what words are not made of; short enough for the tiny models."""
    draw, words = random.Random(0), WORDS
    texts = []
    for _ in range(n):
        start, size = draw.randrange(len(words)), draw.randint(1, 12)
        some = words[start : start + size] + draw.choices(["☃", "東京", "12.75", "e-mail"], k=1)
        draw.shuffle(some)
        texts.append(" ".join(some))
    return texts


def load_theirs(name: str, kind: str, **settings: Any) -> tuple[Any, Any]:
    """A model with a random head, and its tokenizer."""
    torch.manual_seed(0)
    model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
        FAMILIES / name, local_files_only=True, **settings
    )
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "classifier" in key or "pooler" in key or key.startswith("head"):
                parameter.normal_(0.5 if "norm" in key else 0.0, 0.5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(FAMILIES / name, local_files_only=True)
    return model.eval(), tokenizer


def take(model: Any, **names: str) -> dict[str, Tensor]:
    """Parameters of transformers by the names of Head."""
    state = model.state_dict()
    return {
        f"{ours}.{part}": state[f"{theirs}.{part}"]
        for ours, theirs in names.items()
        for part in ("weight", "bias")
        if f"{theirs}.{part}" in state
    }


def load_ours(name: str) -> Language:
    """The encoder alone, of the same checkpoint."""
    model: Any = read_bert(FAMILIES / name, with_pooling=False)
    nlp = spacy.blank("en")
    section = {
        "encoder": model.section,
        "pieces": {
            "@architectures": "spacy-ctxemb.SubwordPieces.v1",
            "vocab_size": model.section["vocab_size"],
        },
        "mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
        "split_sentences": False,
    }
    nlp.add_pipe("ctxemb", config={"model": section, "pretrained": None})
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    shim.load_encoder(model.tensors)
    shim.pieces.load(model.tokenizer)
    return nlp


def publish(model: Any, task: str, tensors: dict[str, Tensor], **fields: Any) -> Any:
    """A head as a checkpoint has it."""
    width, n_classes = model.config.hidden_size, len(model.config.id2label)
    return SimpleNamespace(
        architecture=type(model).__name__,
        task=task,
        settings={"width": width, "n_classes": n_classes, **fields.pop("settings", {})},
        tensors=tensors,
        labels=[model.config.id2label[i] for i in range(n_classes)],
        **{"kind": "single_label", "reads": "pieces", **fields},
    )


def tag(name: str, labels: list[str] = TAGS, **settings: Any) -> tuple[Any, Language]:
    """The pipeline of transformers, and ours."""
    id2label = dict(enumerate(labels))
    model, tokenizer = load_theirs(name, "TokenClassification", id2label=id2label)
    nlp = load_ours(name)
    head = publish(model, "token", take_token(model, name), settings=dense_of(name))
    add_head(nlp, head, **settings)
    return transformers.pipeline("token-classification", model=model, tokenizer=tokenizer), nlp


def dense_of(name: str) -> dict[str, Any]:
    """ModernBERT has a dense layer before the classes of tokens too."""
    return TEXT_HEADS[name][2] if name == "modernbert" else {}


def take_token(model: Any, name: str) -> dict[str, Tensor]:
    others = {"dense": "head.dense", "norm": "head.norm"} if name == "modernbert" else {}
    return take(model, output="classifier", **others)


def compare(theirs: list[Any], ours: list[Any]) -> int:
    """Spans, labels and scores. Returns how many there are."""
    n = 0
    for expected, found in zip(theirs, ours, strict=True):
        key = "entity_group" if expected and "entity_group" in expected[0] else "entity"
        assert [(e.start, e.end, e.label) for e in found] == [
            (one["start"], one["end"], one[key]) for one in expected
        ]
        scores = [one["score"] for one in expected]
        np.testing.assert_allclose([e.score for e in found], scores, rtol=1e-5, atol=1e-5)
        n += len(found)
    return n


def find(nlp: Language, texts: list[str], name: str = "ctxemb_ner") -> list[Any]:
    docs = list(map(nlp.make_doc, texts))
    docs = list(nlp.get_pipe("ctxemb").pipe(docs))
    found: list[Any] = nlp.get_pipe(name).predict(docs)
    return found


@pytest.mark.parametrize("aggregation", ["none", "simple"])
@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_pieces(name: str, aggregation: str) -> None:
    pipeline, nlp = tag(name, aggregation=aggregation)
    texts = list_texts()
    theirs = pipeline(texts, aggregation_strategy=aggregation)
    assert compare(theirs, find(nlp, texts)) > N_TEXTS


def list_words(n: int = N_TEXTS) -> list[str]:
    """Texts of which spaCy and BERT's own tokenizer make the same words, all of them known."""
    draw, words = (
        random.Random(1),
        sorted({w for w in WORDS if w.isalpha() and w.isascii()}),
    )
    return [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(n)]


@pytest.mark.parametrize("aggregation", ["first", "average", "max"])
@pytest.mark.parametrize("labels", [TAGS, PLAIN], ids=["IOB2", "plain"])
def test_words(aggregation: str, labels: list[str]) -> None:
    pipeline, nlp = tag("bert", labels, aggregation=aggregation)
    texts = list_words()
    theirs = pipeline(texts, aggregation_strategy=aggregation)
    assert compare(theirs, find(nlp, texts)) > N_TEXTS


def test_the_default_is_simple() -> None:
    pipeline, nlp = tag("bert")
    assert nlp.get_pipe_config("ctxemb_ner")["aggregation"] == "simple"
    texts = list_words(20)
    theirs = pipeline(texts, aggregation_strategy="simple")
    for doc, expected in zip(nlp.pipe(texts), theirs, strict=True):
        whole = [e for e in expected if doc.char_span(e["start"], e["end"])]
        spans = {(e.start_char, e.end_char, e.label_) for e in doc.ents}
        assert spans <= {(e["start"], e["end"], e["entity_group"]) for e in expected} or len(
            spans
        ) <= len(expected)
        assert len(whole) == 0 or spans


@pytest.mark.parametrize("name", TEXT_HEADS)
@pytest.mark.parametrize("kind", ["single_label", "multi_label", "regression"])
def test_texts(name: str, kind: str) -> None:
    reads, dense, settings, names = TEXT_HEADS[name]
    problem = kind if kind == "regression" else f"{kind}_classification"
    id2label = {0: "number"} if kind == "regression" else dict(enumerate(["good", "bad", "so-so"]))
    model, tokenizer = load_theirs(
        name, "SequenceClassification", id2label=id2label, problem_type=problem
    )
    reads = getattr(model.config, "classifier_pooling", "cls") if name == "modernbert" else reads
    nlp = load_ours(name)
    tensors = take(model, dense=dense, **names)
    reads = {"cls": "first"}.get(reads, reads)
    add_head(nlp, publish(model, "text", tensors, settings=settings, kind=kind, reads=reads))
    texts = ["", *list_texts()]
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    for doc, expected in zip(nlp.pipe(texts), pipeline(texts, top_k=None), strict=True):
        theirs = {one["label"]: one["score"] for one in expected}
        ours = {"number": doc._.ctxemb_score} if kind == "regression" else doc.cats
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5)


def test_heads_share_one_encoder() -> None:
    _, nlp = tag("bert")
    model, _ = load_theirs("bert", "SequenceClassification", num_labels=3)
    tensors = take(model, dense="bert.pooler.dense", output="classifier")
    settings = {"activation": "tanh"}
    add_head(nlp, publish(model, "text", tensors, settings=settings, reads="first"), name="mood")
    doc = nlp("The river rose in the night.")
    assert nlp.get_pipe("ctxemb").counts["documents"] == 1
    assert list(doc.cats) == ["LABEL_0", "LABEL_1", "LABEL_2"] and doc._.ctxemb_states is None


def test_a_published_head_is_trained_further() -> None:
    _, nlp = tag("bert", aggregation="first")
    data = [
        ("Ada Lovelace wrote it.", {"entities": [(0, 12, "PER")]}),
        ("The train to Oslo leaves.", {"entities": [(13, 17, "LOC")]}),
    ]
    learn_by_heart(nlp, data, "ents_f", rate=0.02)


# What does not fit


def test_heads_that_do_not_fit() -> None:
    _, nlp = tag("bert")
    model, _ = load_theirs("bert", "TokenClassification", id2label=dict(enumerate(TAGS)))
    head = publish(model, "token", take(model, output="classifier"))
    head.task = "ranking"
    with pytest.raises(ValueError, match="E617.*not of 'ranking'"):
        add_head(nlp, head)
    head.task = "token"
    with pytest.raises(ValueError, match="E618.*no encoder 'other'.*'ctxemb_ner'"):
        add_head(nlp, head, upstream="other")
    with pytest.raises(ValueError, match="E619.*BertFor.* of width 12, not a BiLM of width 16"):
        add_head(initialised(BILM), head)
    with pytest.raises(ValueError, match="E044"):
        add_head(stacked(stack()), head)
    head.labels = TAGS[:3]
    with pytest.raises(ValueError, match="E609.*5 classes for 'again'"):
        add_head(nlp, head, name="again")
