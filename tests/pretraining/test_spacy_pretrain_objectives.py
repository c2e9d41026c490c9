"""Pretraining through spaCy's own machinery: objectives, weights files, and what reads them."""

import io
import math

import numpy as np
import pytest
import torch
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import SGD, Adam

from spacy_ctxemb.embedder.training_precision import LossScale
from spacy_ctxemb.objectives import BiLMObjective, MaskedLMObjective
from spacy_ctxemb.pretraining.spacy_pretrain_objectives import score_docs
from spacy_ctxemb.thinc_model.docs_to_outputs import cut_docs
from spacy_ctxemb.thinc_model.embedder_shim import find_shims

from ..pipelines import NER_DATA, TEXTCAT_DATA, examples, listener, textcat_config
from . import (
    OBJECTIVES,
    TEXT,
    TINY_ENCODERS,
    TRAINING_CONFIGS,
    WIDTH,
    load,
    pretrain,
    read_bin,
    start,
    tiny_config,
    write_text,
)

#: Words of the text; updates that teach a tiny encoder much of it.
STEPS = 80

#: A corpus of four examples, both entities and categories.
READER = "spacy-ctxemb-tests.FourExamples.v1"

NER_CONFIGS = {"bilm": "bilm.cfg", "mlm": "transformer.cfg"}


@pytest.fixture(params=OBJECTIVES)
def objective(request):
    return request.param


# Training


def mean_loss(pretraining):
    """Nats of a target, full softmax, always the same targets."""
    rng = np.random.default_rng(0)
    scores = score_docs(pretraining.shim, pretraining.docs, rng, is_train=False).values()
    return sum(nll for nll, _ in scores) / sum(n for _, n in scores)


def test_the_loss_falls(objective, tmp_path):
    pretraining = start(tiny_config(objective, tmp_path))
    head = pretraining.shim.objective
    size = head.n_pieces if objective == "mlm" else len(head.vocabulary)
    assert mean_loss(pretraining) == pytest.approx(math.log(size), rel=0.15)
    losses = [pretraining.update() for _ in range(STEPS)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert mean_loss(pretraining) < 0.6 * math.log(size)


def test_a_sampled_softmax_learns_too(tmp_path):
    changes = {"sample_above": 40, "n_samples": 20}
    config = tiny_config("bilm", tmp_path)
    config["pretraining"]["objective"].update(changes)
    pretraining = start(config)
    assert pretraining.shim.objective.n_samples == 20
    before = mean_loss(pretraining)
    for _ in range(STEPS):
        pretraining.update()
    assert mean_loss(pretraining) < 0.7 * before


def test_every_parameter_of_encoder_and_head_is_trained(objective, tmp_path):
    pretraining = start(tiny_config(objective, tmp_path))
    before = {n: p.detach().clone() for n, p in pretraining.shim.named_parameters()}
    for _ in range(3):
        pretraining.update()
    after = dict(pretraining.shim.named_parameters())
    still = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert still == {"mix.weights", "mix.gamma"}


def test_gradients_do_not_depend_on_the_batches_of_windows(objective, tmp_path):
    gradients, n_batches = [], []
    for batch_pieces in (18, 40, 4096):
        changes = {"window": 16, "stride": 12, "batch_pieces": batch_pieces}
        config = tiny_config(objective, tmp_path)
        config["components"]["ctxemb"]["model"].update(changes)
        pretraining = start(config)
        shim, docs = pretraining.shim, pretraining.docs
        pretraining.model.begin_update(docs)
        parameters = shim.named_parameters()
        gradients.append({name: p.grad for name, p in parameters if p.grad is not None})
        n_batches.append(len(cut_docs(shim, docs)[1].batches))
    assert n_batches[0] > n_batches[1] > n_batches[2]
    for other in gradients[:-1]:
        assert other.keys() == gradients[-1].keys()
        for name, gradient in gradients[-1].items():
            torch.testing.assert_close(other[name], gradient, rtol=1e-5, atol=1e-5)
    assert max(float(gradient.abs().max()) for gradient in gradients[-1].values()) > 1e-2


@pytest.mark.parametrize("checkpoint_gradients", [False, True])
def test_products_in_bf16_learn_too(objective, checkpoint_gradients, tmp_path):
    config = tiny_config(objective, tmp_path)
    config["components"]["ctxemb"]["model"].update(
        {"training_precision": "bf16", "checkpoint_gradients": checkpoint_gradients}
    )
    pretraining = start(config)
    exact = start(tiny_config(objective, tmp_path))
    assert pretraining.update() == pytest.approx(exact.update(), rel=1e-3)
    before = mean_loss(pretraining)
    for _ in range(20):
        pretraining.update()
    assert mean_loss(pretraining) < 0.9 * before


def test_a_scale_of_the_loss_changes_no_update(objective, tmp_path):
    weights = []
    for scale in (None, LossScale(2.0**14)):
        pretraining = start(tiny_config(objective, tmp_path))
        pretraining.shim.loss_scale = scale
        pretraining._replace(optimizer=SGD(0.1)).update()
        weights.append({name: p.detach() for name, p in pretraining.shim.named_parameters()})
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)


def test_dropout_is_that_of_pretraining(objective, tmp_path):
    pretraining = start(tiny_config(objective, tmp_path, pretraining__dropout=0.3))
    pretraining.update()
    modules = pretraining.shim.embedder.encoder.modules()
    assert {m.p for m in modules if isinstance(m, torch.nn.Dropout)} == {0.3}
    assert not pretraining.shim.embedder.training
    assert not pretraining.shim.objective.training


def with_textcat(config, tok2vec):
    """Add a text classifier whose `tok2vec` is the model to pretrain."""
    config["components"]["textcat"] = {"factory": "textcat", **textcat_config(tok2vec)}
    config["nlp"]["pipeline"] = [*config["components"]]
    config["pretraining"].update({"component": "textcat", "layer": "tok2vec"})
    return config


def test_a_listener_stands_for_its_upstream(tmp_path):
    """spaCy pretrains the model behind a listener that [pretraining] names."""
    config = with_textcat(tiny_config("bilm", tmp_path), listener(upstream="ctxemb"))
    pretraining = start(config)
    assert find_shims(pretraining.nlp.get_pipe("ctxemb").model) == [pretraining.shim]
    assert pretraining.update() > pretraining.update()


# Weights files


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """By objective: config, directory with model*.bin files, log."""
    results = {}
    for name in OBJECTIVES:
        directory = tmp_path_factory.mktemp(name)
        config = tiny_config(name, directory, pretraining__max_epochs=60)
        config["pretraining"]["n_save_epoch"] = 59
        results[name] = config, directory, pretrain(config, directory)
    return results


def test_weights_files_hold_pieces_and_objective(objective, pretrained):
    _, directory, log = pretrained[objective]
    names = {path.name for path in directory.glob("*.bin")}
    assert names == {"model0.bin", "model59.bin", "model-last.bin"}
    assert [row["epoch"] for row in log] == [0, 59, 60]
    assert log[1]["epoch_loss"] < 0.8 * log[0]["epoch_loss"]
    stored = read_bin(directory / "model-last.bin")
    assert stored.keys() == {"pieces", "weights", "objective"}
    kinds = {"bilm": ("characters", "bilm"), "mlm": ("wordpieces", "masked_lm")}
    assert (stored["pieces"]["kind"], stored["objective"]["kind"]) == kinds[objective]


def test_a_weights_file_gives_back_the_objective(objective, pretrained):
    config, directory, _ = pretrained[objective]
    shim = load(config, directory / "model-last.bin")
    kinds = {"bilm": BiLMObjective, "mlm": MaskedLMObjective}
    assert type(shim.objective) is kinds[objective]
    assert not shim.objective.training
    last = {name: value.clone() for name, value in shim.named_parameters()}
    first = dict(load(config, directory / "model0.bin").named_parameters())
    assert last.keys() == first.keys()
    assert all(not torch.equal(last[n], first[n]) for n in last if not n.startswith("mix."))


def test_resuming_goes_on_with_the_same_head(objective, pretrained, tmp_path):
    config, directory, log = pretrained[objective]
    config = config.copy()
    config["pretraining"]["max_epochs"] = 61
    path = directory / "model59.bin"
    resumed, *_ = pretrain(config, tmp_path, resume_path=path, epoch_resume=60)
    assert resumed["epoch"] == 60
    first, last = (row["epoch_loss"] for row in log[:2])
    assert abs(resumed["epoch_loss"] - last) < 0.3 * abs(first - last)
    config["pretraining"]["max_epochs"] = 60
    pretrain(config, tmp_path, resume_path=path, epoch_resume=60)
    assert read_bin(tmp_path / "model-last.bin") == read_bin(path)


def test_resuming_needs_no_number_of_the_epoch(pretrained, tmp_path):
    config, directory, _ = pretrained["bilm"]
    rows = pretrain(config, tmp_path, resume_path=directory / "model59.bin")
    assert [row["epoch"] for row in rows] == [60]


# Weights files in training


def ner_config(objective, pretrained, **changes):
    """A config of training with the encoder of a weights file."""
    config, directory, _ = pretrained[objective]
    overrides = {
        **TINY_ENCODERS[objective],
        "components.ner.model.tok2vec.width": WIDTH,
        "paths.init_tok2vec": str(directory / "model-last.bin"),
        "training.max_steps": 2,
        "training.eval_frequency": 2,
    }
    overrides["nlp.pipeline"] = ["ctxemb", "ner"]
    path = TRAINING_CONFIGS / NER_CONFIGS[objective]
    loaded = load_config(path, overrides=overrides).interpolate()
    for corpus in ("train", "dev"):
        loaded["corpora"][corpus] = {"@readers": READER}
    loaded["pretraining"]["objective"]["corpus"] = {"@readers": READER}
    loaded["training"].update(changes)
    return loaded


@pytest.fixture(autouse=True, scope="module")
def reader():
    data = [(text, {**a, **b}) for (text, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    registry.readers(READER, func=lambda: lambda nlp: examples(nlp, data))


def tensors(shim):
    return {name: value.detach().clone() for name, value in shim.embedder.named_parameters()}


def assert_equal_tensors(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def run(nlp):
    """The loop of `spacy train`."""
    train(nlp, None, stdout=io.StringIO(), stderr=io.StringIO())


def test_shared(objective, pretrained):
    config, directory, _ = pretrained[objective]
    expected = tensors(load(config, directory / "model-last.bin"))
    nlp = init_nlp(ner_config(objective, pretrained))
    (shim,) = find_shims(nlp.get_pipe("ctxemb").model)
    assert_equal_tensors(tensors(shim), expected)
    assert shim.objective is None
    assert read_bin(directory / "model-last.bin")["pieces"] == shim.pieces.to_json()
    run(nlp)
    assert not torch.equal(tensors(shim)["mix.weights"], expected["mix.weights"])


def test_the_task_has_a_width_and_dropout_of_its_own(objective, pretrained):
    """What is pretrained is the encoder, whatever is made of its layers."""
    config, directory, _ = pretrained[objective]
    expected = tensors(load(config, directory / "model-last.bin"))
    own = ner_config(objective, pretrained)
    own["components"]["ctxemb"]["model"] |= {"width": 5, "dropout": 0.3}
    own["components"]["ner"]["model"]["tok2vec"]["width"] = 5
    nlp = init_nlp(own)
    (shim,) = find_shims(nlp.get_pipe("ctxemb").model)
    found = tensors(shim)
    encoder = {name for name in expected if name.startswith("encoder.")}
    assert encoder and all(torch.equal(found[name], expected[name]) for name in encoder)
    nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.001), drop=0.05)
    rates = {m.p for m in shim.embedder.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.3}
    assert nlp(TEXT[0]).tensor.shape == (len(nlp(TEXT[0])), 5)


def test_frozen(objective, pretrained):
    config, directory, _ = pretrained[objective]
    expected = tensors(load(config, directory / "model-last.bin"))
    changes = {"frozen_components": ["ctxemb"], "annotating_components": ["ctxemb"]}
    nlp = init_nlp(ner_config(objective, pretrained, **changes))
    (shim,) = find_shims(nlp.get_pipe("ctxemb").model)
    assert_equal_tensors(tensors(shim), expected)
    before = nlp.get_pipe("ner").model.to_bytes()
    run(nlp)
    assert nlp.get_pipe("ner").model.to_bytes() != before
    assert_equal_tensors(tensors(shim), expected)
    assert nlp(TEXT[0]).tensor.shape == (len(nlp(TEXT[0])), WIDTH)


def test_inline_in_a_text_classifier(objective, pretrained):
    config, directory, _ = pretrained[objective]
    expected = tensors(load(config, directory / "model-last.bin"))
    config = ner_config(objective, pretrained)
    inline = config["components"].pop("ctxemb")["model"]
    del config["components"]["ner"]
    nlp = init_nlp(with_textcat(config, inline))
    (shim,) = find_shims(nlp.get_pipe("textcat").model)
    assert_equal_tensors(tensors(shim), expected)


def test_inline_in_ner(objective, pretrained, tmp_path):
    """The `tok2vec` of spaCy's NER is more than an encoder, so it is pretrained in place."""
    ner = ner_config(objective, pretrained)["components"]["ner"]
    config = tiny_config(objective, tmp_path, pretraining__max_epochs=1)
    # Without averages Thinc fails here on any model with parameters of its own.
    config["pretraining"]["optimizer"]["use_averages"] = True
    ner["model"]["tok2vec"] = config["components"].pop("ctxemb")["model"]
    config["components"]["ner"] = ner
    config["nlp"]["pipeline"] = ["ner"]
    config["pretraining"].update({"component": "ner", "layer": "tok2vec"})
    config = load_model_from_config(config, auto_fill=True).config
    pretrain(config, tmp_path)
    expected = tensors(load(config, tmp_path / "model-last.bin"))
    for corpus in ("train", "dev"):
        config["corpora"][corpus] = {"@readers": READER}
    config["initialize"]["init_tok2vec"] = str(tmp_path / "model-last.bin")
    nlp = init_nlp(config)
    (shim,) = find_shims(nlp.get_pipe("ner").model)
    assert_equal_tensors(tensors(shim), expected)


# Bad input


def test_no_vocabulary(tmp_path):
    config = tiny_config("mlm", tmp_path)
    config["initialize"]["before_init"] = None
    with pytest.raises(RuntimeError, match=r"\[E123\] WordPieces have no vocabulary yet"):
        start(config)


def test_an_objective_of_the_other_encoder(tmp_path):
    transformer, bilm = tiny_config("mlm", tmp_path), tiny_config("bilm", tmp_path)
    objectives = [config["pretraining"]["objective"] for config in (transformer, bilm)]
    bilm["pretraining"]["objective"], transformer["pretraining"]["objective"] = objectives
    transformer["pretraining"]["objective"]["corpus"]["path"] = str(tmp_path / "text.txt")
    message = r"\[E430\] MaskedLMObjective needs the encoder Transformer, .* has BiLM\."
    with pytest.raises(ValueError, match=message):
        start(bilm)
    message = r"\[E430\] BiLMObjective needs the encoder BiLM, .* has TransformerEncoder\."
    with pytest.raises(ValueError, match=message):
        start(transformer)


@pytest.mark.parametrize("lines", [[], ["", " ", "\t"], ["Too short"]])
def test_a_corpus_without_words(lines, objective, tmp_path):
    config = tiny_config(objective, tmp_path)
    write_text(tmp_path / "text.txt", lines)
    with pytest.raises(RuntimeError, match=r"\[E435\] .* has no words.*raw_text"):
        pretrain(config, tmp_path / "out")


def test_a_share_of_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"\[E431\] The share of pieces to predict is 0\.0"):
        start(tiny_config("mlm", tmp_path, pretraining__objective__share=0.0))


def test_a_loss_that_is_not_a_number(objective, tmp_path):
    pretraining = start(tiny_config(objective, tmp_path))
    name, parameter = next(iter(pretraining.shim.embedder.encoder.named_parameters()))
    parameter.data.fill_(math.nan)
    others = [p.detach().clone() for p in pretraining.shim.objective.parameters()]
    with pytest.warns(UserWarning, match=r"\[W004\] An update was skipped.*learn_rate"):
        assert pretraining.update() == 0.0
    assert all(map(torch.equal, others, pretraining.shim.objective.parameters()))
    with pytest.raises(RuntimeError, match=r"\[E209\] 10 updates in a row"):
        for _ in range(9):
            pretraining.update()
    with pytest.raises(RuntimeError, match=r"\[E433\] The loss became nan.*learn_rate"):
        score_docs(pretraining.shim, pretraining.docs, np.random.default_rng(0), is_train=False)


def test_a_loss_that_is_infinite(objective, tmp_path):
    pretraining = start(tiny_config(objective, tmp_path))
    pretraining.shim.objective.bias.data[-1] = math.inf
    with pytest.warns(UserWarning, match=r"\[W004\] An update was skipped"):
        pretraining.update()
    assert pretraining.shim.counts["skipped_updates"] == 1


def test_a_component_without_an_encoder(tmp_path):
    config = tiny_config("bilm", tmp_path)
    config["components"]["tok2vec"] = {"factory": "tok2vec"}
    config["nlp"]["pipeline"] = ["tok2vec", "ctxemb"]
    config["pretraining"]["component"] = "tok2vec"
    with pytest.raises(RuntimeError, match=r"\[E432\] The model '.*' does not hold exactly one"):
        start(config)


def test_a_component_that_does_not_exist(tmp_path):
    config = tiny_config("bilm", tmp_path, pretraining__component="nobody")
    with pytest.raises(KeyError, match="nobody"):
        start(config)
