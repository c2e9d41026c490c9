"""What may be asked, and what the answer to a wrong question is."""

from typing import Any

import numpy as np
import pytest
import spacy

import spacy_ctxemb
from spacy_ctxemb.explanation import Explanation
from spacy_ctxemb.silver_labels import read_up_to

from ..pipelines import TRANSFORMER, initialised
from .pipelines import TEXT, build_heads, build_own


def test_it_is_part_of_the_package() -> None:
    found = spacy_ctxemb.explain(build_heads("transformer"), TEXT)
    assert isinstance(found, Explanation) and found.doc.text == TEXT
    assert {one.component for one in found.attributions} == {"ctxemb_textcat", "ctxemb_ner"}
    assert "<table>" in found._repr_html_() and "<html" not in found._repr_html_()
    for one in found.attributions:
        assert one._repr_html_().count(f"Why {one.label}") == 1


def test_an_encoder_alone() -> None:
    found = spacy_ctxemb.explain(initialised(TRANSFORMER), "one bank")
    assert not found.attributions and len(found.attention) == 1


def test_a_doc_keeps_its_tokens() -> None:
    nlp = build_own()
    doc = spacy.tokens.Doc(nlp.vocab, words=["New York", "calls"])
    found = spacy_ctxemb.explain(nlp, doc, component="textcat")
    assert [token.text for token in found.doc] == ["New York", "calls"]
    assert not doc.cats


def test_a_label_chooses_components() -> None:
    found = spacy_ctxemb.explain(build_heads("bilm"), TEXT, label="nature").attributions
    assert [(one.component, one.label) for one in found] == [("ctxemb_textcat", "nature")]


def test_a_label_is_not_part_of_another() -> None:
    nlp = spacy.blank("en")
    patterns = [{"label": "LOC", "pattern": "Oslo"}, {"label": "LOCAL", "pattern": "bus"}]
    nlp.add_pipe("entity_ruler").add_patterns(patterns)
    found = spacy_ctxemb.explain(nlp, "The bus to Oslo.", label="LOCAL").attributions
    assert [(one.label, one.target.span) for one in found] == [("LOCAL", (1, 2))]


def test_a_span_alone_has_the_labels_that_were_found_there() -> None:
    nlp = spacy.blank("en")
    for name, label in (("first", "CITY"), ("second", "TOWN")):
        ruler = nlp.add_pipe("span_ruler", name=name, config={"spans_key": name})
        ruler.add_patterns([{"label": label, "pattern": "Oslo" if label == "TOWN" else "bus"}])
    found = spacy_ctxemb.explain(nlp, "The bus to Oslo.", span=(3, 4)).attributions
    assert [(one.component, one.label, one.score) for one in found] == [("second", "TOWN", 1.0)]


def test_why_not() -> None:
    """A span that was not found: the score is the mean over its pieces of B- and I- together."""
    nlp = build_heads("transformer")
    (one,) = spacy_ctxemb.explain(nlp, TEXT, span=(2, 3), label="PERSON").attributions
    pipe: Any = nlp.get_pipe("ctxemb_ner")
    (found,) = pipe.score_docs(read_up_to(nlp, pipe, [nlp.make_doc(TEXT)]))
    start, n = int(found.states["starts"][2]), int(found.states["lengths"][2])
    shares = np.exp(found.scores[start : start + n])
    shares /= shares.sum(axis=1, keepdims=True)
    of_person = [name.endswith("PERSON") for name in pipe.classes]
    assert one.score == pytest.approx(shares[:, of_person].sum(axis=1).mean(), abs=1e-5)
    assert one.score < 0.5 and one.target.span == (2, 3)


def test_rules_do_not_take_what_others_found() -> None:
    nlp = spacy.blank("en")
    for name, pattern in (("first", "Oslo"), ("second", "Lima")):
        ruler: Any = nlp.add_pipe("entity_ruler", name=name)
        ruler.add_patterns([{"label": "LOC", "pattern": pattern}])
    text = "From Oslo to Lima."
    found = spacy_ctxemb.explain(nlp, text).attributions
    assert [(one.component, one.target.span) for one in found] == [
        ("first", (1, 2)),
        ("second", (3, 4)),
    ]
    (_, other) = spacy_ctxemb.explain(nlp, text, span=(1, 2), label="LOC").attributions
    assert other.component == "second" and other.score == 0.0 and not other.values.any()


def test_tokens_that_are_merged() -> None:
    nlp = spacy.blank("en")
    ruler: Any = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "LOC", "pattern": "New York"}])
    nlp.add_pipe("merge_entities")
    with pytest.raises(ValueError, match=r"\[E745\].*4 tokens.*leaves 3.*'merge_entities'"):
        spacy_ctxemb.explain(nlp, "New York calls.")


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    (TEXT, {"component": "ctxemb"}, r"\[E731\].*'ctxemb'.*\['ctxemb_textcat', 'ctxemb_ner'\]"),
    (TEXT, {"component": "x"}, r"\[E731\] There is no component 'x'"),
    (TEXT, {"label": "x"}, r"\[E732\] .* no label 'x'.*'ctxemb_ner': \['LOC', 'PERSON'\]"),
    (TEXT, {"label": "LOC", "component": "ctxemb_textcat"}, r"\[E732\].*\['money', 'nature'\]"),
    ("", {}, r"\[E733\] The text has no words: ''"),
    (" \n ", {}, r"\[E733\]"),
    (TEXT, {"method": "shap"}, r"\[E735\].*'shap'.*\['occlusion', 'gradients'\]"),
    (TEXT, {"span": (5, 3), "label": "LOC"}, r"\[E738\] The span \(5, 3\).*empty.*of 12 tokens"),
    (TEXT, {"span": (0, 99), "label": "LOC"}, r"\[E738\] The span \(0, 99\)"),
    (TEXT, {"span": (-1, 1), "label": "LOC"}, r"\[E738\] The span \(-1, 1\)"),
    (TEXT, {"span": (2, 3)}, r"\[E738\].*no label is named"),
    ("a \n b", {"span": (1, 2), "label": "LOC"}, r"\[E738\].*it has no words"),
    (
        "of",
        {"component": "ctxemb_ner"},
        r"\[E739\] 'ctxemb_ner' has found nothing.*'LOC', 'PERSON'",
    ),
]


@pytest.mark.parametrize("text, asked, message", FAULTS)
def test_wrong_questions(text: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spacy_ctxemb.explain(build_heads("transformer"), text, **asked)


def test_no_labels_at_all() -> None:
    nlp = initialised(TRANSFORMER)
    for asked in (
        {"label": "x"},
        {"component": "ctxemb"},
        {"span": (0, 1)},
        {"method": "gradients"},
    ):
        with pytest.raises(ValueError, match=r"\[E730\] None of the components \['ctxemb'\]"):
            spacy_ctxemb.explain(nlp, TEXT, **asked)


@pytest.mark.parametrize("text", [None, 3, ["a"]])
def test_what_is_no_text(text: Any) -> None:
    with pytest.raises(ValueError, match=r"\[E749\] text is of type"):
        spacy_ctxemb.explain(build_own(), text)
