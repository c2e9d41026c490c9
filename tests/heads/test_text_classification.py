"""`ctxemb_textcat`: training, categories, sentences, numbers."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_ctxemb.heads.head_shim import get_head

from ..pipelines import BILM, MODELS, TEXTCAT_DATA, TRANSFORMER, blank, examples, learn_by_heart

TEXTS = [text for text, _ in TEXTCAT_DATA]
SEVERAL = [
    ("Otters slept on the river bank.", {"cats": {"money": 1.0, "nature": 1.0}}),
    ("My loan was refused.", {"cats": {"money": 1.0, "nature": 0.0}}),
    ("A heron fished in the river.", {"cats": {"money": 0.0, "nature": 1.0}}),
    ("Nobody came to the party.", {"cats": {"money": 0.0, "nature": 0.0}}),
]
NUMBERS = [(text, {"cats": {"length": float(len(text)) / 10}}) for text, _ in TEXTCAT_DATA]


@pytest.fixture(params=MODELS)
def model(request: Any) -> Any:
    return MODELS[request.param]


def pipeline(data: Any = TEXTCAT_DATA, model: Any = TRANSFORMER, **settings: Any) -> Language:
    nlp = blank(model)
    nlp.add_pipe("ctxemb_textcat", config=settings)
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, data))
    return nlp


def cats(nlp: Language, texts: list[str] = TEXTS) -> Any:
    return np.array([list(doc.cats.values()) for doc in nlp.pipe(texts)])


def pipe_of(nlp: Language) -> Any:
    return nlp.get_pipe("ctxemb_textcat")


def loss_of(nlp: Language, data: Any) -> Any:
    egs = examples(nlp, data)
    docs = [nlp.get_pipe("ctxemb")(eg.predicted) for eg in egs]
    scored, _ = pipe_of(nlp).model.begin_update(docs)
    return pipe_of(nlp).get_loss(egs, scored)


# Training


@pytest.mark.parametrize("reads", ["first", "mean"])
def test_one_label_is_learned(reads: str) -> None:
    nlp = blank(TRANSFORMER)
    nlp.add_pipe("ctxemb_textcat", config={"model": {"reads": reads}})
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    learn_by_heart(nlp, TEXTCAT_DATA, "cats_score", rate=0.02)
    found = cats(nlp)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert pipe_of(nlp).labels == ("money", "nature")


def test_several_labels_are_learned() -> None:
    nlp = pipeline(SEVERAL, kind="multi_label")
    learn_by_heart(nlp, SEVERAL, "cats_micro_f", "cats_macro_auc", rate=0.02)
    found = cats(nlp, [text for text, _ in SEVERAL])
    expected = [list(a["cats"].values()) for _, a in SEVERAL]
    assert (found > 0.5).tolist() == np.array(expected, dtype=bool).tolist()


def test_numbers_are_learned() -> None:
    nlp = pipeline(NUMBERS, kind="regression")
    optimizer = Adam(0.02)
    for _ in range(60):
        nlp.update(examples(nlp, NUMBERS), sgd=optimizer)
    scores = nlp.evaluate(examples(nlp, NUMBERS))
    assert scores["cats_score"] > 0.95 and scores["cats_mae"] < 0.6
    doc = nlp(NUMBERS[0][0])
    assert doc._.ctxemb_score == pytest.approx(3.3, abs=1.2) and not doc.cats


def test_losses_by_hand() -> None:
    """Cross entropy, that of each label, the square of the error, of what is known."""
    nlp = pipeline()
    p = cats(nlp)
    gold = np.array([list(a["cats"].values()) for _, a in TEXTCAT_DATA])
    loss, _ = loss_of(nlp, TEXTCAT_DATA)
    assert loss == pytest.approx(-np.log((p * gold).sum(axis=1)).mean(), abs=1e-5)
    missing = [*TEXTCAT_DATA[:2], ("unknown", {"cats": {}}), ("?", {"cats": {"money": None}})]
    loss, gradients = loss_of(nlp, missing)
    assert loss == pytest.approx(-np.log((p * gold)[:2].sum(axis=1)).mean(), abs=1e-5)
    assert [bool(one.any()) for one in gradients] == [True, True, False, False]


def test_labels_that_are_missing() -> None:
    nlp = pipeline(SEVERAL, kind="multi_label")
    data = [("My loan was refused.", {"cats": {"money": 1.0}}), ("?", {"cats": {"nature": None}})]
    loss, gradients = loss_of(nlp, data)
    (p,) = cats(nlp, ["My loan was refused."])
    assert loss == pytest.approx(-np.log(p[0]), abs=1e-5)
    assert gradients[0][0].tolist() == [pytest.approx(p[0] - 1, abs=1e-5), 0.0]
    assert not gradients[1].any()
    assert loss_of(nlp, [("?", {"cats": {}})])[0] == 0


def test_the_mean_over_windows() -> None:
    """Weighted by the pieces that each window owns, before softmax."""
    nlp = pipeline(model={**BILM, "window": 6, "stride": 4})
    doc = nlp.get_pipe("ctxemb")(nlp.make_doc("The bank raised its interest rate. " * 3))
    (scored,) = pipe_of(nlp).score_docs([doc])
    owned = scored.states["owned"]
    assert len(owned) > 2 and owned.sum() == len(doc)
    mean = (scored.scores * owned[:, None]).sum(axis=0) / owned.sum()
    expected = np.exp(mean) / np.exp(mean).sum()
    np.testing.assert_allclose(cats(nlp, [doc.text])[0], expected, atol=1e-6)


def test_gradient_over_windows() -> None:
    nlp = pipeline(model={**BILM, "window": 6, "stride": 4})
    data = [("The bank raised its interest rate. " * 3, TEXTCAT_DATA[0][1])]
    egs = examples(nlp, data)
    docs = [nlp.get_pipe("ctxemb")(eg.predicted) for eg in egs]
    (scored,), _ = pipe_of(nlp).model.begin_update(docs)
    _, (gradient,) = pipe_of(nlp).get_loss(egs, [scored])
    step = 1e-3
    for place in np.ndindex(*scored.scores.shape):
        values = []
        for sign in (1, -1):
            moved = scored.scores.astype("f8").copy()
            moved[place] += sign * step
            values.append(pipe_of(nlp).get_loss(egs, [scored._replace(scores=moved)])[0])
        expected = (values[0] - values[1]) / (2 * step)
        assert gradient[place] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_texts_without_pieces() -> None:
    nlp = pipeline()
    assert np.isfinite(cats(nlp, ["", "  ", "\n"])).all()
    data = [("", TEXTCAT_DATA[0][1]), *TEXTCAT_DATA]
    nlp.update(examples(nlp, data), sgd=Adam(0.001))


# Sentences


def split(model: Any = BILM) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("ctxemb", config={"model": {**model, "split_sentences": True}})
    nlp.add_pipe("ctxemb_textcat", config={"per_sentence": True})
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    return nlp


def test_scores_of_each_sentence(model: Any) -> None:
    nlp = split(model)
    doc = nlp(" ".join(TEXTS))
    for sent, text in zip(doc.sents, TEXTS, strict=True):
        assert sent._.ctxemb_cats == pytest.approx(nlp(text).cats, abs=1e-5)
    assert list(doc.cats) == ["money", "nature"]
    assert nlp("").cats.keys() == doc.cats.keys()


def test_sentences_that_the_encoder_did_not_know() -> None:
    nlp = split()
    nlp.disable_pipe("sentencizer")
    with pytest.raises(ValueError, match="E615.*'ctxemb_textcat' .*0 sentences, .*encoded as 1"):
        nlp(TEXTS[0])


# Labels and settings


def test_a_new_label() -> None:
    nlp = pipeline()
    assert pipe_of(nlp).add_label("party") == 1 and pipe_of(nlp).add_label("party") == 0
    data = [*TEXTCAT_DATA, ("Nobody came to the party.", {"cats": {"party": 1.0}})]
    before, _ = loss_of(nlp, data)
    for _ in range(5):
        nlp.update(examples(nlp, data), sgd=Adam(0.005))
    assert loss_of(nlp, data)[0] < before and len(nlp("party").cats) == 3


def test_labels_that_are_given() -> None:
    nlp = blank(TRANSFORMER)
    pipe: Any = nlp.add_pipe("ctxemb_textcat")
    pipe.initialize(lambda: examples(nlp, TEXTCAT_DATA), labels=["nature", "money", "other"])
    assert pipe.labels == ("nature", "money", "other")
    assert pipe.label_data == ["nature", "money", "other"]


def test_examples_that_do_not_fit() -> None:
    nlp = pipeline()
    with pytest.raises(ValueError, match="E611.*the label 'party'.*'nature'"):
        nlp.update(examples(nlp, [("?", {"cats": {"party": 1.0}})]))
    with pytest.raises(
        ValueError, match="E616.*'ctxemb_textcat' cannot learn from {'money': 1.0, 'n"
    ):
        nlp.update(examples(nlp, SEVERAL))


@pytest.mark.parametrize(
    "kind, value", [("single_label", 0.7), ("multi_label", 2.0), ("regression", float("inf"))]
)
def test_values_that_a_kind_does_not_have(kind: str, value: float) -> None:
    nlp = pipeline(kind=kind)
    with pytest.raises(ValueError, match=f"E616.*{value}"):
        nlp.update(examples(nlp, [("?", {"cats": {"money": value}})]))


def test_one_label_to_choose_from() -> None:
    with pytest.raises(ValueError, match=r"E607.*the labels \['money'\], and needs 2"):
        pipeline([("My loan", {"cats": {"money": 1.0}})])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kind": "binary"}, "E614.*'binary' .*'ctxemb_textcat'.*'single_label'"),
        ({"model": {"reads": "pieces"}}, "E613.*'ctxemb_textcat' reads 'pieces'"),
    ],
)
def test_settings_are_checked(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blank().add_pipe("ctxemb_textcat", config=settings)


def test_scores_with_a_threshold() -> None:
    nlp = pipeline(SEVERAL, kind="multi_label", threshold=1.1)
    assert nlp.evaluate(examples(nlp, SEVERAL))["cats_micro_f"] == 0


def test_disk(tmp_path: Path) -> None:
    nlp = pipeline(SEVERAL, kind="multi_label")
    nlp.to_disk(tmp_path)
    expected = cats(nlp)
    np.testing.assert_array_equal(cats(spacy.load(tmp_path)), expected)
    np.testing.assert_array_equal(cats(copy.deepcopy(nlp)), expected)


def test_training_goes_on(tmp_path: Path) -> None:
    nlp = pipeline()
    nlp.to_disk(tmp_path)
    twin = spacy.load(tmp_path)
    before = get_head(pipe_of(twin).model).get_tensors()["output.weight"].clone()
    twin.resume_training()
    twin.update([Example.from_dict(twin.make_doc(t), a) for t, a in TEXTCAT_DATA], sgd=Adam(0.01))
    assert not torch.equal(get_head(pipe_of(twin).model).get_tensors()["output.weight"], before)
