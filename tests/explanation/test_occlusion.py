"""What the score loses where a word is left out or hidden, beside plain loops."""

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.tokens import Doc

from spacy_ctxemb.explanation import explain

from .pipelines import TEXT, build_heads, build_own


def leave_out(doc: Doc, i: int, shown: str = "") -> Doc:
    words = [shown if token.i == i else token.text for token in doc]
    spaces = [bool(token.whitespace_) for token in doc]
    kept = [k for k, word in enumerate(words) if word]
    return Doc(doc.vocab, words=[words[k] for k in kept], spaces=[spaces[k] for k in kept])


@pytest.mark.parametrize("nlp", [build_own, lambda: build_heads("bilm")], ids=["spacy", "head"])
def test_categories(nlp) -> None:
    nlp = nlp()
    found = explain(nlp, TEXT).attributions[0]
    doc = nlp(TEXT)
    label = max(doc.cats, key=doc.cats.get)
    lost = [doc.cats[label] - nlp(leave_out(doc, i)).cats[label] for i in range(len(doc))]
    assert found.label == label and found.method == "occlusion"
    assert found.baseline is None and found.error is None
    assert_allclose(found.values, lost, atol=1e-5)
    assert_allclose(found.score, doc.cats[label], atol=1e-6)


def test_entities_keep_their_place() -> None:
    """Words of a head's entity are hidden; the score is the mean of its pieces' probabilities."""
    nlp = build_heads("transformer")
    doc = nlp(TEXT)
    found = explain(nlp, TEXT, component="ctxemb_ner").attributions
    assert [one.target.span for one in found] == [(ent.start, ent.end) for ent in doc.ents]
    assert all(0 <= one.score <= 1 for one in found)
    (hidden,) = explain(nlp, leave_out(doc, 4, "…"), label="LOC", span=(4, 5)).attributions
    one = next(one for one in found if one.target.span == (4, 5))
    assert_allclose(one.values[4], one.score - hidden.score, atol=1e-5)


def test_words_may_be_left_out_of_entities_too() -> None:
    nlp = build_heads("transformer")
    (one,) = explain(nlp, TEXT, label="LOC", span=(4, 5), hide="").attributions
    assert one.values[4] == pytest.approx(one.score)  # nothing is left of it
    (moved,) = explain(nlp, leave_out(nlp(TEXT), 0), label="LOC", span=(3, 4)).attributions
    assert one.values[0] == pytest.approx(one.score - moved.score, abs=1e-5)


def test_entities_of_spacy_are_weighed_by_a_beam() -> None:
    nlp = build_own()
    doc = nlp(TEXT)
    assert doc.ents
    found = explain(nlp, TEXT, component="ner").attributions
    assert [one.target.span for one in found] == [(ent.start, ent.end) for ent in doc.ents]
    assert all(0.1 < one.score <= 1.0 for one in found)
    # Of which word a network is sure depends on the CPU's last digits.
    assert max(np.abs(one.values).max() for one in found) > 0.001


def test_spans_of_spacy() -> None:
    nlp = build_own()
    doc = nlp(TEXT)
    group = doc.spans["sc"]
    assert len(group)
    found = explain(nlp, TEXT, component="spancat").attributions
    assert [one.target.span for one in found] == [(span.start, span.end) for span in group]
    assert_allclose([one.score for one in found], group.attrs["scores"], atol=1e-6)


def test_rules_score_one_or_nothing() -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "LOC", "pattern": [{"LOWER": "in"}, {"LOWER": "oslo"}]}])
    (one,) = explain(nlp, "She is in Oslo now.").attributions
    assert one.score == 1.0
    assert one.values.tolist() == [0, 0, 1, 1, 0, 0]


def test_white_space_adds_nothing() -> None:
    nlp = build_heads("bilm")
    (one,) = explain(nlp, "Ada  Lovelace\n lives.", component="ctxemb_textcat").attributions
    assert [abs(v) > 1e-9 for v in one.values] == [not t.is_space for t in one.doc]
