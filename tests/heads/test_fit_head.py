"""`fit = true` of `ctxemb_textcat`: a head that is fitted to convergence."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_ctxemb.heads.fit_head import fit_each, read_examples
from spacy_ctxemb.heads.fit_logistic_regression import fit_logistic_regression
from spacy_ctxemb.heads.head_as_thinc_model import get_head
from spacy_ctxemb.heads.token_aggregation import softmax

from ..pipelines import BILM, MODELS, TEXTCAT_DATA, TRANSFORMER, blank, examples
from .test_text_classification import NUMBERS, SEVERAL, TEXTS, cats, loss_of, pipe_of

LAST = {"mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1}}


def prepare(model: Any = TRANSFORMER, head: Any = None, **settings: Any) -> Language:
    nlp = blank(model)
    nlp.add_pipe("ctxemb_textcat", config={**settings, "model": head or {}})
    nlp.config["initialize"]["components"]["ctxemb_textcat"] = {"fit": True}
    fix_random_seed(0)
    return nlp


def fitted(data: Any = TEXTCAT_DATA, **settings: Any) -> Language:
    nlp = prepare(**settings)
    nlp.initialize(lambda: examples(nlp, data))
    return nlp


def fit_by_hand(nlp: Language, data: Any) -> tuple[Any, Any]:
    """What the head should have: the weights of each label, by scikit-learn."""
    X, gold = read_examples(pipe_of(nlp), examples(nlp, data), nlp)
    if pipe_of(nlp).kind == "single_label":
        return fit_logistic_regression(X, gold.argmax(axis=1))
    both = [fit_logistic_regression(X, column.astype(int)) for column in gold.T]
    weights, biases = zip(*both, strict=True)
    return np.array([w[1] - w[0] for w in weights]), np.array([b[1] - b[0] for b in biases])


def compute_by_hand(nlp: Language, data: Any) -> Any:
    X, _ = read_examples(pipe_of(nlp), examples(nlp, data), nlp)
    found = get_head(pipe_of(nlp).model).get_tensors()
    return X @ found["output.weight"].numpy().T + found["output.bias"].numpy()


@pytest.mark.parametrize("kind, data", [("single_label", TEXTCAT_DATA), ("multi_label", SEVERAL)])
def test_the_head_has_the_weights_of_a_regression(kind: str, data: Any) -> None:
    """And what it serves is better than chance, whose loss is log 2."""
    nlp = fitted(data, kind=kind, head={"reads": "piece_mean", "normalize": True})
    weights, bias = fit_by_hand(nlp, data)
    found = get_head(pipe_of(nlp).model).get_tensors()
    np.testing.assert_allclose(found["output.weight"].numpy(), weights, rtol=1e-5)
    np.testing.assert_allclose(found["output.bias"].numpy(), bias, rtol=1e-5, atol=1e-6)
    assert loss_of(nlp, data)[0] < 0.6


def test_texts_that_read_alike() -> None:
    """Nothing tells them apart, but both labels have examples: they get their shares."""
    data = [("The same.", TEXTCAT_DATA[i][1]) for i in (0, 0, 0, 1)]
    nlp = fitted(data)
    np.testing.assert_allclose(cats(nlp, ["The same."]), [[0.75, 0.25]], atol=1e-3)
    data = [("The same.", SEVERAL[i][1]) for i in (1, 1, 1, 3)]
    with pytest.warns(UserWarning, match=r"W640.*\['nature'\]"):
        nlp = fitted(data, kind="multi_label")
    assert cats(nlp, ["The same."])[0, 0] == pytest.approx(0.75, abs=1e-3)


def test_weights_that_are_loaded_too_late() -> None:
    nlp = prepare()
    nlp.config["initialize"]["init_tok2vec"] = "weights.bin"
    nlp.config["pretraining"] = {"component": "ctxemb", "layer": ""}
    with pytest.raises(ValueError, match="E647.*'ctxemb_textcat' needs the weights of 'ctxemb'"):
        nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(
    "head", [{}, {"reads": "first"}, {"reads": "piece_mean", "normalize": True}], ids=str
)
def test_what_is_fitted_is_what_is_served(model: Any, head: Any, tmp_path: Path) -> None:
    nlp = fitted(model=model, head=head)
    expected = softmax(compute_by_hand(nlp, TEXTCAT_DATA))
    np.testing.assert_allclose(cats(nlp), expected, atol=1e-5)
    nlp.to_disk(tmp_path)
    np.testing.assert_allclose(cats(spacy.load(tmp_path)), expected, atol=1e-5)


@pytest.mark.parametrize("normalize", [False, True])
def test_what_is_read_is_the_vector_of_the_doc(normalize: bool) -> None:
    nlp = spacy.blank("en")
    pooling = {"doc_pooling": "mean", "normalize": normalize}
    nlp.add_pipe("ctxemb", config={"model": {**TRANSFORMER, **LAST}, **pooling})
    nlp.add_pipe("ctxemb_textcat", config={"model": {"normalize": normalize}})
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    X, gold = read_examples(pipe_of(nlp), examples(nlp, TEXTCAT_DATA), nlp)
    np.testing.assert_allclose(X, [nlp(text).vector for text in TEXTS], atol=1e-5)
    assert gold.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_the_mean_of_pieces_is_that_of_tokens_where_each_is_one() -> None:
    nlp = fitted(model={**BILM, **LAST}, head={"reads": "piece_mean"})
    X, _ = read_examples(pipe_of(nlp), examples(nlp, TEXTCAT_DATA), nlp)
    np.testing.assert_allclose(X, [nlp(text).vector for text in TEXTS], atol=1e-5)


def test_long_texts_and_empty_ones() -> None:
    data = [*TEXTCAT_DATA, (" ".join(TEXTS * 3), TEXTCAT_DATA[0][1]), ("", TEXTCAT_DATA[1][1])]
    head = {"normalize": True, "reads": "piece_mean"}
    nlp = fitted(data, head=head, model={**TRANSFORMER, "window": 12, "stride": 8})
    texts = [text for text, _ in data]
    expected = softmax(compute_by_hand(nlp, data))
    np.testing.assert_allclose(cats(nlp, texts), expected, atol=1e-5)


def test_sentences_are_found_before_as_later() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("ctxemb", config={"model": {**TRANSFORMER, "split_sentences": True}})
    nlp.add_pipe("ctxemb_textcat")
    data = [(f"{a} {b}", TEXTCAT_DATA[i][1]) for i, (a, b) in enumerate([TEXTS[:2], TEXTS[2:]])]
    nlp.config["initialize"]["components"]["ctxemb_textcat"] = {"fit": True}
    nlp.initialize(lambda: examples(nlp, data))
    expected = softmax(compute_by_hand(nlp, data))
    np.testing.assert_allclose(cats(nlp, [text for text, _ in data]), expected, atol=1e-5)
    doc = nlp(data[0][0], disable=["ctxemb_textcat"])
    assert len(pipe_of(nlp).score_docs([doc])[0].states["sentences"]) == 2


def test_examples_are_left_as_they_are() -> None:
    nlp = prepare()
    egs = examples(nlp, TEXTCAT_DATA)
    nlp.initialize(lambda: egs)
    assert all(not eg.predicted.user_data and not len(eg.predicted.tensor) for eg in egs)


def test_a_frozen_encoder_that_spacy_has_switched_off() -> None:
    """As while `spacy train` initialises the other components."""
    nlp = prepare()
    nlp.get_pipe("ctxemb").initialize(lambda: examples(nlp, TEXTCAT_DATA), nlp=nlp)
    with nlp.select_pipes(disable="ctxemb"):
        nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    expected = softmax(compute_by_hand(nlp, TEXTCAT_DATA))
    np.testing.assert_allclose(cats(nlp), expected, atol=1e-5)


def test_an_encoder_of_its_own() -> None:
    nlp = fitted()
    expected = cats(nlp)
    nlp.replace_listeners("ctxemb", "ctxemb_textcat", ["model.tok2vec"])
    get_head(pipe_of(nlp).model).get_tensors()["output.weight"].zero_()
    pipe_of(nlp).initialize(lambda: examples(nlp, TEXTCAT_DATA), nlp=nlp, fit=True)
    np.testing.assert_allclose(cats(nlp), expected, atol=1e-4)


def test_training_goes_on_from_there() -> None:
    nlp = fitted()
    before = cats(nlp)
    losses = nlp.update(examples(nlp, TEXTCAT_DATA), sgd=Adam(0.001))
    assert losses["ctxemb_textcat"] < 0.6 and not np.array_equal(cats(nlp), before)


def test_several_labels() -> None:
    nlp = fitted(SEVERAL, kind="multi_label")
    texts = [text for text, _ in SEVERAL]
    expected = 1 / (1 + np.exp(-compute_by_hand(nlp, SEVERAL)))
    np.testing.assert_allclose(cats(nlp, texts), expected, atol=1e-5)
    # Biases are not regularised, so that the scores add up to the texts that have the label.
    np.testing.assert_allclose(cats(nlp, texts).sum(axis=0), [2, 2], atol=0.05)


def test_labels_that_are_missing_do_not_count() -> None:
    """The weights of each label are those that the examples give in which it is known."""
    X = np.random.default_rng(0).normal(size=(12, 3))
    gold = (X[:, :2] > 0).astype(float)
    gold[:4, 0] = np.nan
    weights, bias, is_constant = fit_each(X, gold, fit_logistic_regression)
    assert not is_constant.any()
    for i, known in enumerate([slice(4, None), slice(None)]):
        both, both_bias = fit_logistic_regression(X[known], gold[known, i].astype(int))
        np.testing.assert_allclose(weights[i], both[1] - both[0])
        np.testing.assert_allclose(bias[i], both_bias[1] - both_bias[0])


def test_a_label_without_examples() -> None:
    """It has the score of half an example, more or less, and no other suffers from it."""
    data = [(text, {"cats": {**a["cats"], "party": 0.0}}) for text, a in TEXTCAT_DATA]
    with pytest.warns(UserWarning, match=r"W640.*the labels \['party'\] of 'ctxemb_textcat'"):
        nlp = fitted(data)
    assert 0.05 < cats(nlp)[:, 2].mean() < 0.2


def test_a_label_that_all_have() -> None:
    data = [(text, {"cats": {**a["cats"], "text": 1.0}}) for text, a in SEVERAL]
    with pytest.warns(UserWarning, match=r"W640.*\['text'\]"):
        nlp = fitted(data, kind="multi_label")
    np.testing.assert_allclose(cats(nlp)[:, 2], 4.5 / 5, atol=1e-6)


def test_texts_without_a_label_do_not_count() -> None:
    data = [*TEXTCAT_DATA, ("?", {"cats": {}}), ("!", {"cats": {"money": None, "nature": 0.0}})]
    np.testing.assert_allclose(cats(fitted(data)), cats(fitted()), atol=1e-5)


@pytest.mark.parametrize(
    "data, settings, message",
    [
        (NUMBERS, {"kind": "regression"}, "E640.*'ctxemb_textcat' .*not for 'regression'"),
        (TEXTCAT_DATA, {"head": {"activation": "tanh"}}, r"E642.*\[components.ctxemb_textcat"),
        (TEXTCAT_DATA, {"head": {"norm_epsilon": 1e-5}}, "E642"),
        (TEXTCAT_DATA[:1], {}, r"E643.* in 1 examples: .*\['money', 'nature'\]"),
        (TEXTCAT_DATA[:1], {"kind": "multi_label"}, "E643"),
    ],
)
def test_what_cannot_be_fitted(data: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(data, **settings)


def test_without_a_pipeline() -> None:
    nlp = prepare()
    with pytest.raises(ValueError, match="E641.*'ctxemb_textcat' runs the encoder"):
        pipe_of(nlp).initialize(lambda: examples(nlp, TEXTCAT_DATA), fit=True)


def test_without_weights_of_the_encoder() -> None:
    nlp = prepare()
    with pytest.raises(RuntimeError, match="E008"):
        pipe_of(nlp).initialize(lambda: examples(nlp, TEXTCAT_DATA), nlp=nlp, fit=True)


def test_without_an_encoder() -> None:
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("ctxemb_textcat")
    egs = [Example.from_dict(nlp.make_doc(text), a) for text, a in TEXTCAT_DATA]
    with pytest.raises(RuntimeError, match="E600"):
        pipe.initialize(lambda: egs, nlp=nlp, fit=True)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "spacy_ctxemb.heads.fit_logistic_regression", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ImportError, match=r'E644.*pip install "spacy-ctxemb\[few\]"'):
        fitted()
