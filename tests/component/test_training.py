"""Training through listeners, frozen and fine-tuned, and copies of an encoder."""

import copy
import pickle
from itertools import chain

import numpy as np
import pytest
import spacy
import torch
from thinc.api import Adam, get_current_ops

from spacy_ctxemb.thinc_model.docs_to_outputs import cut_docs
from spacy_ctxemb.thinc_model.embedder_shim import find_shims, get_shim

from ..pipelines import (
    BILM,
    MODELS,
    NER_DATA,
    TEXTCAT_DATA,
    TEXTS,
    TRANSFORMER,
    WIDTH,
    blank,
    examples,
    initialised,
    inline_model,
    learn_by_heart,
    listener,
    ner_config,
    parameters,
    textcat_config,
    update,
    vectors,
    with_ner,
)


def test_a_listener_trains_the_whole_encoder(model):
    nlp = with_ner(model)
    before = parameters(nlp)
    learn_by_heart(nlp, NER_DATA, "ents_f")
    after = parameters(nlp)
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert set(moved) == set(before)


def test_ner_and_textcat_share_an_encoder(model):
    nlp = blank(model)
    nlp.add_pipe("ner", config=ner_config(listener(upstream="ctxemb")))
    nlp.add_pipe("textcat", config=textcat_config(listener(upstream="*")))
    data = [(text, {**a, **b}) for (text, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    nlp.initialize(lambda: examples(nlp, data))
    assert nlp.get_pipe("ctxemb").listening_components == ["ner", "textcat"]
    learn_by_heart(nlp, data, "ents_f", "cats_micro_f")


def test_nlp_update_learns_as_spacy_train_does(model):
    """`nlp.update` asks for a step before listeners have learned, `spacy train` after. The gradient
    of a batch is that of the weights which encoded it, in both."""
    learned = []
    for is_asked_before in (True, False):
        nlp = with_ner(model)
        pipe, sgd = nlp.get_pipe("ctxemb"), Adam(0.01)
        for _ in range(3):
            egs = examples(nlp, NER_DATA)
            if is_asked_before:
                nlp.update(egs, sgd=sgd)
                continue
            nlp.update(egs, sgd=False)
            for _, component in nlp.pipeline:
                component.finish_update(sgd)
        pipe.flush_gradient()
        learned.append(parameters(nlp))
    for name, value in learned[0].items():
        torch.testing.assert_close(value, learned[1][name], rtol=1e-5, atol=1e-6, msg=name)


def test_a_step_that_is_asked_for_twice_is_taken_once():
    """After `nlp.update`, which asks before listeners have learned."""
    nlp = with_ner(TRANSFORMER)
    shim, pipe, sgd = get_shim(nlp.get_pipe("ctxemb").model), nlp.get_pipe("ctxemb"), Adam(0.01)
    for n in (1, 2):
        nlp.update(examples(nlp, NER_DATA), sgd=sgd)
        pipe.finish_update(sgd)
        assert shim.n_steps == n


def test_gradients_of_listeners_add_up():
    """The encoder's gradient is the sum of what each listener sends."""
    nlp = blank()
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    pipe = nlp.get_pipe("ctxemb")
    first, second = (_listen(nlp, name) for name in ("one", "two"))
    egs = examples(nlp, NER_DATA[:2])
    docs = [eg.predicted for eg in egs]
    pipe.update(egs, drop=0.0)
    outputs, backprop_first = first.begin_update(docs)
    _, backprop_second = second.begin_update(docs)
    backprop_first([np.ones_like(y) for y in outputs])
    backprop_second([2 * np.ones_like(y) for y in outputs])
    pipe.flush_gradient()
    shim = get_shim(pipe.model)
    found = {n: p.grad.clone() for n, p in shim.named_parameters() if p.grad is not None}
    for parameter in shim.embedder.parameters():
        parameter.grad = None
    outputs, backprop = pipe.model.begin_update(docs)
    backprop([3 * np.ones_like(y) for y in outputs])
    for name, parameter in shim.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5)


def _listen(nlp, name):
    from spacy.pipeline.tok2vec import Tok2VecListener
    from thinc.api import Model

    node = Tok2VecListener("ctxemb", WIDTH)
    pipe = type(
        "Component", (), {"name": name, "model": Model("m", lambda m, X, t: X, layers=[node])}
    )
    nlp.get_pipe("ctxemb").find_listeners(pipe())
    return node


def test_textcat_multilabel_and_inline_encoder(model):
    nlp = spacy.blank("en")
    config = textcat_config(inline_model(model), exclusive=False)
    nlp.add_pipe("textcat_multilabel", config=config)
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    learn_by_heart(nlp, TEXTCAT_DATA, "cats_macro_auc")
    assert nlp("bank").tensor.size == 0


def test_inline_and_shared_training_take_the_same_first_step():
    shared = with_ner()
    inline = spacy.blank("en")
    inline.add_pipe("ner", config=ner_config(inline_model(BILM)))
    inline.initialize(lambda: examples(inline, NER_DATA))
    inline.get_pipe("ner").model.from_bytes(_inlined(shared).get_pipe("ner").model.to_bytes())
    shared_losses, inline_losses = ({}, {})
    shared.update(examples(shared, NER_DATA), sgd=False, losses=shared_losses)
    inline.update(examples(inline, NER_DATA), sgd=False, losses=inline_losses)
    assert shared_losses["ner"] == pytest.approx(inline_losses["ner"], rel=1e-5)


def _inlined(nlp):
    copy = with_ner().from_bytes(nlp.to_bytes())
    copy.replace_listeners("ctxemb", "ner", ["model.tok2vec"])
    return copy


def tagger_model():
    tok2vec = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}
    return {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}


def test_frozen_and_annotating(model):
    nlp = with_ner(model)
    before = parameters(nlp)
    data = [*NER_DATA, ("", {"entities": []})]
    learn_by_heart(nlp, data, "ents_f", exclude=["ctxemb"], annotates=["ctxemb"])
    assert all(torch.equal(before[name], value) for name, value in parameters(nlp).items())


def test_freezing_in_the_middle_does_not_reuse_old_outputs():
    nlp = with_ner()
    update(nlp, NER_DATA, steps=1)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    update(nlp, NER_DATA, steps=1, exclude=["ctxemb"], annotates=["ctxemb"])
    assert all(parameter.grad is None for _, parameter in shim.named_parameters())


def test_a_batch_that_nobody_learned_from_is_not_learned_from_later():
    """NER reads what the Docs carry, not the vectors of an update that it took no part in."""
    nlp = with_ner()
    data, ctxemb = examples(nlp, NER_DATA), nlp.get_pipe("ctxemb")
    nlp.update(data, sgd=Adam(0.001), exclude=["ner"], drop=0.5)
    (listener,) = ctxemb.listeners
    seen = []
    predict = listener._func

    def listen(model, docs, is_train):
        outputs, backprop = predict(model, docs, is_train)
        seen.append([(a, b.tensor) for a, b in zip(outputs, docs, strict=True)])
        return outputs, backprop

    listener._func = listen
    nlp.update(data, sgd=Adam(0.001), exclude=["ctxemb"], annotates=["ctxemb"])
    assert seen and all(np.array_equal(a, b) for batch in seen for a, b in batch)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pipe: pickle.loads(pickle.dumps(pipe))]
)
def test_copies_in_the_midst_of_training(duplicate):
    nlp = with_ner()
    nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.001), exclude=["ner"])
    nlp.resume_training()
    for name in nlp.pipe_names:
        model = duplicate(nlp.get_pipe(name).model)
        assert model.to_bytes() == nlp.get_pipe(name).model.to_bytes()
        duplicate(nlp.get_pipe(name))


@pytest.mark.parametrize("combine", ["concat", "mix"])
def test_initialize_in_the_midst_of_training(combine):
    """What the batch before has left is of other weights."""
    nlp = spacy.blank("en")
    members = {"one": inline_model(BILM), "two": inline_model(BILM)}
    stack = {"@architectures": "spacy-ctxemb.Stack.v1", "combine": combine, "members": members}
    width = {"concat": 2 * WIDTH, "mix": WIDTH}[combine]
    nlp.add_pipe("ctxemb", config={"model": stack})
    nlp.add_pipe("ner", config=ner_config(listener(width=width)))
    shims = find_shims(nlp.get_pipe("ctxemb").model)
    for _ in range(2):
        nlp.initialize(lambda: examples(nlp, NER_DATA))
        for _ in range(2):
            nlp.update(examples(nlp, NER_DATA))  # its gradient waits for the next update
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    nlp.update([], sgd=Adam(0.001))
    assert all(p.grad is None for shim in shims for _, p in shim.named_parameters())


def test_an_earlier_tok2vec_learns_from_its_own_listeners():
    """A later listener to any component is no listener of it."""
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    tagger = nlp.add_pipe("tagger", config={"model": tagger_model()})
    for label in ("A", "B"):
        tagger.add_label(label)
    nlp.add_pipe("ctxemb", config={"model": BILM})
    nlp.add_pipe("ner", config=ner_config(listener(upstream="*")))
    data = [(text, {**note, "tags": ["A"] * len(nlp.make_doc(text))}) for text, note in NER_DATA]
    nlp.initialize(lambda: examples(nlp, data))
    tok2vec = nlp.get_pipe("tok2vec")
    before = tok2vec.model.to_bytes()
    for _ in range(3):  # the first gradient of a new softmax is 0
        nlp.update(examples(nlp, data), sgd=Adam(0.001))
    assert tok2vec.model.to_bytes() != before
    assert list(tok2vec.listener_map) == ["tagger"]
    assert nlp.config["components"]["ner"]["model"]["tok2vec"]["upstream"] == "*"


def test_training_leaves_a_cache_where_it_is():
    nlp = with_ner(cache={"@misc": "spacy-ctxemb.FeatureCache.v1"})
    ctxemb = nlp.get_pipe("ctxemb")
    nlp(TEXTS[0])
    assert ctxemb.counts["cache_misses"] == 1
    with pytest.warns(UserWarning, match=r"\[W007\] 'ctxemb' has a cache, but is trained"):
        update(nlp, NER_DATA, steps=2)
    before = ctxemb.counts
    nlp(TEXTS[1])  # with new weights, so under a new key
    nlp(TEXTS[1])
    found = ctxemb.counts - before
    assert (found["cache_misses"], found["cache_hits"]) == (1, 1)


def test_dropout_follows_the_config_of_training(model):
    nlp = with_ner(model)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    update(nlp, NER_DATA, drop=0.3)
    rates = {m.p for m in shim.embedder.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.3}
    assert not shim.embedder.training
    fixed = with_ner({**model, "dropout": 0.2})
    update(fixed, NER_DATA, drop=0.3)
    shim = get_shim(fixed.get_pipe("ctxemb").model)
    assert {m.p for m in shim.embedder.modules() if isinstance(m, torch.nn.Dropout)} == {0.2}


def test_predict_equals_update_without_dropout(model):
    nlp = initialised(model)
    thinc_model = nlp.get_pipe("ctxemb").model
    docs = [nlp.make_doc(text) for text in TEXTS]
    updated, _ = thinc_model.begin_update(docs)
    for a, b in zip(updated, thinc_model.predict(docs), strict=True):
        # Training and inference multiply by different routines.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_averaged_parameters_are_used_and_taken_back():
    nlp = with_ner()
    optimizer = Adam(0.001, use_averages=True)
    for _ in range(3):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    now = parameters(nlp)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    with nlp.use_params(optimizer.averages):
        inside = parameters(nlp)
    for name, value in inside.items():
        assert not torch.equal(value, now[name])
        assert np.array_equal(value.numpy(), optimizer.averages[shim.id, name])
    assert all(torch.equal(now[name], value) for name, value in parameters(nlp).items())


def test_averaged_parameters_are_what_spacy_train_saves(model, tmp_path):
    """Also where some layers are frozen, and so have no averages."""
    nlp = with_ner({**model, "freeze_layers": 1})
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(5):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    now = vectors(nlp)
    with nlp.use_params(optimizer.averages):
        averaged, inside = parameters(nlp), vectors(nlp)
        nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert all(torch.equal(averaged[name], value) for name, value in parameters(loaded).items())
    for during, saved, before, after in zip(
        inside, vectors(loaded), now, vectors(nlp), strict=True
    ):
        np.testing.assert_allclose(saved, during, atol=1e-6)
        np.testing.assert_array_equal(before, after)
        assert not len(before) or not np.allclose(during, before, atol=1e-4)


@pytest.mark.parametrize("excluded", ["ner", "textcat"])
def test_the_encoder_learns_from_any_listener(excluded):
    """Also where the last one, to which spaCy's tok2vec leaves the work, sends no gradient."""
    nlp = blank()
    nlp.add_pipe("ner", config=ner_config(listener()))
    nlp.add_pipe("textcat", config=textcat_config(listener()))
    data = [(text, {**a, **b}) for (text, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    nlp.initialize(lambda: examples(nlp, data))
    before = parameters(nlp)
    update(nlp, data, steps=3, exclude=[excluded])
    assert all(not torch.equal(before[name], value) for name, value in parameters(nlp).items())
    update(nlp, data, steps=1, exclude=["ctxemb"], annotates=["ctxemb"])


@pytest.mark.parametrize("mix", ["ScalarMix", "Layer"])
def test_batches_of_nothing_but_white_space(mix):
    model = {**BILM, "mix": {"@architectures": f"spacy-ctxemb.{mix}.v1"}}
    nlp = with_ner(model)
    data = [(" ", {"entities": []}), ("", {"entities": []})]
    update(nlp, data, steps=2)


def test_no_documents(model):
    for keep in ("tensor", "layers"):
        assert initialised(model, keep=keep).get_pipe("ctxemb").predict([]) == []


def test_an_empty_doc_among_others_with_textcat():
    nlp = blank()
    nlp.add_pipe("textcat", config=textcat_config(listener()))
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    assert [len(doc.cats) for doc in nlp.pipe(["", "two words", " "])] == [2, 2, 2]


def test_groups_of_documents_give_the_same_vectors(model, monkeypatch):
    nlp = initialised(model)
    expected = vectors(nlp)
    monkeypatch.setattr("spacy_ctxemb.thinc_model.docs_to_outputs.GROUP_TOKENS", 5)
    for a, b in zip(vectors(nlp), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_copies_of_a_pipeline_have_their_own_optimizer_state():
    nlp = initialised()
    twin = copy.deepcopy(nlp)
    shims = [get_shim(n.get_pipe("ctxemb").model) for n in (nlp, twin)]
    assert shims[0].id != shims[1].id
    for a, b in zip(vectors(nlp), vectors(twin), strict=True):
        assert np.array_equal(a, b)


def test_replace_listeners_keeps_predictions_and_unties_training():
    nlp = with_ner()
    update(nlp, NER_DATA, steps=20)
    before = [[(e.text, e.label_) for e in nlp(text).ents] for text, _ in NER_DATA]
    nlp.replace_listeners("ctxemb", "ner", ["model.tok2vec"])
    after = [[(e.text, e.label_) for e in nlp(text).ents] for text, _ in NER_DATA]
    assert before == after
    (twin,) = [shim for node in nlp.get_pipe("ner").model.walk() for shim in node.shims]
    assert twin.id != get_shim(nlp.get_pipe("ctxemb").model).id
    own = parameters(nlp)
    update(nlp, NER_DATA, steps=1, exclude=["ctxemb"])
    assert all(torch.equal(own[name], value) for name, value in parameters(nlp).items())


def test_sourcing_from_another_pipeline():
    source = initialised(TRANSFORMER)
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", source=source)
    for a, b in zip(vectors(source), vectors(nlp), strict=True):
        assert np.array_equal(a, b)


def test_initialize_twice_draws_new_weights():
    nlp = initialised(seed=0)
    before = parameters(nlp)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    assert any(not torch.equal(before[name], value) for name, value in parameters(nlp).items())


@pytest.mark.gpu
def test_gpu(model):
    spacy.require_gpu()
    nlp = with_ner(model)
    learn_by_heart(nlp, NER_DATA, "ents_f")
    ops = get_current_ops()
    doc = nlp("Ada lives in Oslo.")
    assert isinstance(doc.tensor, ops.xp.ndarray)
    assert list(chain(doc.vector.shape)) == [WIDTH]


class TestLongDocuments:
    """Documents of more pieces than `batch_pieces`: what exceeds them is computed again."""

    MODEL = {**TRANSFORMER, "batch_pieces": 32}

    @pytest.mark.parametrize("kind", MODELS)
    def test_gradients_with_dropout_are_those_of_one_pass(self, kind: str) -> None:
        nlp = initialised(MODELS[kind])
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        docs = [nlp.make_doc("a river bank and money " * n) for n in (30, 5)]
        _, windows = cut_docs(shim, docs)
        results = []
        for budget in (10**6, 0):
            shim.embedder.zero_grad()
            torch.manual_seed(0)
            shim.embedder.encoder.set_dropout(0.3)
            embedded, backprop = shim.begin_update(windows._replace(budget=budget))
            vectors = embedded.vectors
            shim.embedder.encoder.set_dropout(0.0)  # as another update may, meanwhile
            backprop({"vectors": torch.linspace(-1, 1, vectors.numel()).view(vectors.shape)})
            results.append({n: p.grad.clone() for n, p in shim.named_parameters()})
            assert not shim.embedder.training
            assert shim.embedder.encoder.dropout.p == 0.0
        torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-6)
        assert any(gradient.any() for gradient in results[0].values())

    @pytest.mark.parametrize(
        "name", ["spacy.Tok2VecListener.v1", "spacy-ctxemb.LayerMixListener.v1"]
    )
    def test_they_train_with_dropout(self, name: str) -> None:
        nlp = blank(self.MODEL)
        tok2vec = {"@architectures": name, "width": WIDTH, "upstream": "ctxemb"}
        nlp.add_pipe("ner", config=ner_config(tok2vec))
        nlp.initialize(lambda: examples(nlp, NER_DATA))
        before = parameters(nlp)
        optimizer = Adam(0.01)
        egs = examples(nlp, [("Ada lives in Oslo. " * 40, {"entities": [(0, 3, "PERSON")]})])
        for _ in range(3):
            nlp.update(egs, sgd=optimizer, drop=0.2)
        after = parameters(nlp)
        assert not torch.equal(
            before["encoder.blocks.0.feedforward.inner.weight"],
            after["encoder.blocks.0.feedforward.inner.weight"],
        )
