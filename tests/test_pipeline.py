"""The component in a pipeline: training, listeners, layers, odd input."""

import copy
import multiprocessing
import pickle
import threading
from itertools import chain

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Adam, get_current_ops

from spacy_ctxemb.bridge import get_shim
from spacy_ctxemb.objectives import BiLMObjective
from spacy_ctxemb.pipeline import ContextualEmbedder

from .pipelines import (
    BILM,
    MODELS,
    NER_DATA,
    TEXTCAT_DATA,
    TRANSFORMER,
    WIDTH,
    blank,
    examples,
    initialised,
    inline_model,
    listener,
    ner_config,
    textcat_config,
    with_ner,
)

#: Updates that are enough to learn four short texts by heart.
STEPS = 120

TEXTS = ["I sat on the bank of the river.", "Money in the bank.", "", "one", "a  \n b"]


def parameters(nlp):
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    return {name: p.detach().clone() for name, p in shim.named_parameters()}


def vectors(nlp, texts=TEXTS):
    return [doc.tensor for doc in nlp.pipe(texts)]


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


# What a Doc gets


def test_vectors_do_not_depend_on_the_batch(model):
    nlp = initialised(model)
    together = vectors(nlp)
    alone = [nlp(text).tensor for text in TEXTS]
    again = vectors(nlp, TEXTS[::-1])[::-1]
    for a, b, c in zip(together, alone, again, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_allclose(a, c, atol=1e-5)


def test_sentence_boundaries_are_window_boundaries():
    mix = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}
    nlp = initialised({**BILM, "mix": mix})
    words = "The bank closed . An otter swam .".split()
    two = Doc(nlp.vocab, words=words, sent_starts=[i in (0, 4) for i in range(8)])
    first, second = Doc(nlp.vocab, words=words[:4]), Doc(nlp.vocab, words=words[4:])
    for doc in (two, first, second):
        nlp.get_pipe("ctxemb")(doc)
    np.testing.assert_allclose(two.tensor[:4], first.tensor, atol=1e-6)
    np.testing.assert_allclose(two.tensor[4:], second.tensor, atol=1e-6)


def test_keep_layers(model):
    mix = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}
    nlp = initialised({**model, "mix": mix}, keep="layers")
    plain = initialised({**model, "mix": mix})
    doc = nlp("A bank  of sand.")
    layers = doc._.ctxemb
    assert layers.shape == (3, len(doc), WIDTH)
    assert layers.dtype == np.float32
    np.testing.assert_allclose(layers.mean(axis=0), doc.tensor, atol=1e-6)
    np.testing.assert_allclose(doc.tensor, plain(doc.text).tensor, atol=1e-6)
    with pytest.warns(UserWarning, match="W109"):
        data = doc.to_bytes()
    assert np.array_equal(Doc(nlp.vocab).from_bytes(data)._.ctxemb, layers)


def test_the_context_free_layer_comes_first():
    nlp = initialised(BILM, keep="layers")
    a, b = nlp("river bank"), nlp("savings bank")
    assert np.allclose(a._.ctxemb[0, 1], b._.ctxemb[0, 1], atol=1e-6)
    assert not np.allclose(a._.ctxemb[1, 1], b._.ctxemb[1, 1], atol=1e-4)


def test_keep_none_leaves_nothing_behind():
    nlp = with_ner(keep="none")
    kept = with_ner()
    for text, _ in NER_DATA:
        doc = nlp(text)
        assert doc.tensor.size == 0
        assert doc.user_hooks == {}
        assert [e.label_ for e in doc.ents] == [e.label_ for e in kept(text).ents]
    assert initialised(keep="none")("no listeners").tensor.size == 0


def test_keep_has_three_values():
    with pytest.raises(ValueError, match=r"\[E024\].*keep = 'all' for 'ctxemb'"):
        blank(keep="all")


def test_odd_input(model):
    nlp = initialised(model)
    for text in ["", " ", "\n\n\t ", "x" * 10_000, "👩‍🚀🚀", "\u200b", "ﷺ", "\x00"]:
        doc = nlp(text)
        assert doc.tensor.shape == (len(doc), WIDTH)
        assert np.isfinite(doc.tensor).all()
        for token in doc:
            assert token.has_vector != token.is_space
    assert [d.tensor.shape for d in nlp.pipe([])] == []


def test_a_long_document_fits_into_a_small_budget(model):
    nlp = initialised({**model, "window": 20, "stride": 15, "batch_pieces": 64})
    wide = initialised({**model, "window": 20, "stride": 15, "batch_pieces": 4096})
    doc = Doc(nlp.vocab, words=[f"w{i % 7}" for i in range(3000)])
    assert doc.tensor.size == 0
    nlp.get_pipe("ctxemb")(doc)
    assert doc.tensor.shape == (3000, WIDTH)
    assert doc.tensor.any(axis=1).all()
    other = wide.get_pipe("ctxemb")(Doc(nlp.vocab, words=[t.text for t in doc]))
    np.testing.assert_allclose(doc.tensor, other.tensor, atol=1e-5)


def test_counts():
    nlp = initialised(BILM)
    pipe = nlp.get_pipe("ctxemb")
    before = pipe.counts.copy()
    list(nlp.pipe(["two words", " ", "x" * 60]))
    assert pipe.counts - before == {
        "documents": 3, "tokens": 4, "tokens_without_pieces": 1, "pieces": 3,
        "lossy_pieces": 1, "windows": 2,
    }  # fmt: skip


# Training


def update(nlp, data, steps=1, **settings):
    """Train; returns the scores on the same data."""
    optimizer = Adam(0.005)
    for _ in range(steps):
        nlp.update(examples(nlp, data), sgd=optimizer, **settings)
    return nlp.evaluate(examples(nlp, data))


def test_a_listener_trains_the_whole_encoder(model):
    nlp = with_ner(model)
    before = parameters(nlp)
    scores = update(nlp, NER_DATA, steps=STEPS)
    after = parameters(nlp)
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert set(moved) == set(before)
    assert scores["ents_f"] == 1.0


def test_ner_and_textcat_share_an_encoder(model):
    nlp = blank(model)
    nlp.add_pipe("ner", config=ner_config(listener(upstream="ctxemb")))
    nlp.add_pipe("textcat", config=textcat_config(listener(upstream="*")))
    data = [(text, {**a, **b}) for (text, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    nlp.initialize(lambda: examples(nlp, data))
    assert nlp.get_pipe("ctxemb").listening_components == ["ner", "textcat"]
    scores = update(nlp, data, steps=2 * STEPS)
    assert scores["ents_f"] == 1.0
    assert scores["cats_micro_f"] == 1.0


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
    scores = update(nlp, TEXTCAT_DATA, steps=STEPS)
    assert scores["cats_macro_auc"] == 1.0
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


def test_frozen_and_annotating(model):
    nlp = with_ner(model)
    before = parameters(nlp)
    data = [*NER_DATA, ("", {"entities": []})]
    scores = update(nlp, data, steps=3 * STEPS, exclude=["ctxemb"], annotates=["ctxemb"])
    assert scores["ents_f"] == 1.0
    assert all(torch.equal(before[name], value) for name, value in parameters(nlp).items())


def test_freezing_in_the_middle_does_not_reuse_old_outputs():
    nlp = with_ner()
    update(nlp, NER_DATA, steps=1)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    update(nlp, NER_DATA, steps=1, exclude=["ctxemb"], annotates=["ctxemb"])
    assert all(parameter.grad is None for _, parameter in shim.named_parameters())


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
    monkeypatch.setattr("spacy_ctxemb.bridge.GROUP_TOKENS", 5)
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


# Processes and threads


def test_threads_predict_at_the_same_time(model):
    nlp = initialised(model)
    expected = vectors(nlp)
    wrong = []

    def work():
        for _ in range(10):
            docs = [nlp.get_pipe("ctxemb")(nlp.make_doc(text)) for text in TEXTS]
            pairs = zip(docs, expected, strict=True)
            wrong.extend(1 for doc, e in pairs if not np.allclose(doc.tensor, e, atol=1e-5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_several_processes(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    nlp = with_ner(keep="layers")
    # PyTorch's threads are running before the fork: without care the child would hang.
    torch.set_num_threads(2)
    torch.ones(512, 512) @ torch.ones(512, 512)
    expected = list(nlp.pipe(TEXTS))
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try:
        docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=2))
    finally:
        multiprocessing.set_start_method(before, force=True)
    for doc, reference in zip(docs, expected, strict=True):
        np.testing.assert_allclose(doc.tensor, reference.tensor, atol=1e-5)
        np.testing.assert_allclose(doc._.ctxemb, reference._.ctxemb, atol=1e-5)
        assert doc.ents == () or doc.ents[0].label_ in ("PERSON", "LOC")


# Bad input


def test_a_listener_of_another_width():
    nlp = blank()
    with pytest.raises(
        ValueError, match=r"\[E021\].*'ner' has width 32.*'ctxemb'.*width 16. Set its width to 16"
    ):
        nlp.add_pipe("ner", config=ner_config(listener(width=32)))


def test_a_disabled_upstream_is_an_error_not_zeros(tmp_path):
    nlp = with_ner()
    expected = r"\[E022\] 'ner' listens to 'ctxemb'.*5 tokens"
    with nlp.select_pipes(disable="ctxemb"), pytest.raises(ValueError, match=expected):
        nlp("Ada lives in Oslo.")
    assert nlp("Ada lives in Oslo.").tensor.size
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match=expected):
        spacy.load(tmp_path, disable=["ctxemb"])("Ada lives in Oslo.")
    nlp.remove_pipe("ctxemb")
    with pytest.raises(ValueError, match=expected):
        nlp("Ada lives in Oslo.")


def test_a_second_writer_of_the_tensor():
    nlp = blank()
    with pytest.raises(ValueError, match=r"\[E046\] 'tok2vec' comes after 'ctxemb'"):
        nlp.add_pipe("tok2vec")
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("ctxemb", config={"model": BILM})
    config = ner_config(listener(width=96, upstream="tok2vec"))
    with pytest.raises(ValueError, match=r"\[E023\] 'tok2vec' and 'ctxemb'.*'ner' would read"):
        nlp.add_pipe("ner", config=config)


def test_a_writer_whose_readers_come_first_is_no_conflict():
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("ner", config=ner_config(listener(width=96)))
    nlp.add_pipe("ctxemb", config={"model": BILM})
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    assert nlp("Ada lives in Oslo.").tensor.shape == (5, WIDTH)


def test_two_encoders_with_readers_of_their_own():
    nlp = blank()
    nlp.add_pipe("ner", config=ner_config(listener(upstream="ctxemb")))
    nlp.add_pipe("ctxemb", name="second", config={"model": TRANSFORMER})
    config = textcat_config(listener(upstream="second"))
    nlp.add_pipe("textcat", config=config)
    data = [(text, {**a, **b}) for (text, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    nlp.initialize(lambda: examples(nlp, data))
    scores = update(nlp, data, steps=2 * STEPS)
    assert scores["ents_f"] == scores["cats_micro_f"] == 1.0
    with pytest.raises(ValueError, match=r"\[E023\] 'second' and 'ctxemb'.*'late' would read"):
        nlp.add_pipe("ner", name="late", config=ner_config(listener(upstream="ctxemb")))


@pytest.mark.parametrize("upstream", ["ctxemb", "*"])
def test_a_reader_before_the_encoder(upstream):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner", config=ner_config(listener(upstream=upstream)))
    nlp.add_pipe("ctxemb", config={"model": BILM})
    with pytest.raises(ValueError, match=r"\[E044\] 'ner' listens to 'ctxemb' but comes before"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))


def test_frozen_without_annotating():
    nlp = with_ner()
    with pytest.raises(ValueError, match=r"\[E045\] 'ner'.*annotating_components"):
        nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.001), exclude=["ctxemb"])


def test_no_weights_yet():
    with pytest.raises(RuntimeError, match=r"\[E017\].*nlp.initialize"):
        blank()("text")


def test_no_examples():
    nlp = blank()
    with pytest.raises(ValueError, match=r"\[E025\].*'ctxemb'"):
        nlp.get_pipe("ctxemb").initialize(lambda: [], nlp=nlp)


def test_a_gradient_that_is_not_finite():
    nlp = initialised()
    model = nlp.get_pipe("ctxemb").model
    outputs, backprop = model.begin_update([nlp.make_doc("two words")])
    with pytest.raises(ValueError, match=r"\[E018\].*\(2, 16\).*learn_rate"):
        backprop([np.full_like(y, np.nan) for y in outputs])


def test_a_window_longer_than_the_encoder_allows():
    with pytest.raises(ValueError, match=r"\[E013\] A window of 31 pieces.*max_length of 32"):
        blank({**TRANSFORMER, "window": 31})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "median"}, r"\[E015\] Unknown pooling 'median'"),
        ({"stride": 200, "window": 100}, r"\[E011\] A stride of 200.*100"),
        ({"batch_pieces": 10}, r"\[E012\] batch_pieces of 10"),
        ({"pieces": {"@architectures": "spacy-ctxemb.WordPieces.v1"}}, r"\[E016\]"),
        (
            {"mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": 9}},
            r"\[E014\] There is no layer 9: the encoder has 3 layers",
        ),
    ],
)
def test_a_config_that_cannot_work(settings, message):
    with pytest.raises(ValueError, match=message):
        blank({**BILM, **settings})


# Serialisation


def test_bytes_disk_and_pickle_give_equal_vectors(model, tmp_path):
    nlp = initialised(model)
    expected = vectors(nlp)
    nlp.to_disk(tmp_path / "model")
    files = sorted(p.name for p in (tmp_path / "model" / "ctxemb" / "model").iterdir())
    assert files == ["encoder.safetensors", "pieces"]
    copies = [
        initialised(model, seed=1).from_bytes(nlp.to_bytes()),
        initialised(model, seed=1).from_disk(tmp_path / "model"),
        spacy.load(tmp_path / "model"),
        pickle.loads(pickle.dumps(nlp)),
    ]
    for other in copies:
        assert isinstance(other, Language)
        for a, b in zip(vectors(other), expected, strict=True):
            assert np.array_equal(a, b)


def test_a_loaded_pipeline_goes_on_training(tmp_path):
    nlp = with_ner()
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    before = parameters(loaded)
    loaded.resume_training()
    assert update(loaded, NER_DATA, steps=STEPS)["ents_f"] == 1.0
    assert all(not torch.equal(before[name], value) for name, value in parameters(loaded).items())


def test_a_loaded_pipeline_does_not_change_with_its_file(tmp_path):
    initialised(seed=0).to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    expected = vectors(nlp)
    weights = tmp_path / "ctxemb" / "model" / "encoder.safetensors"
    with weights.open("r+b") as file_:
        file_.write(bytes(weights.stat().st_size))
    for a, b in zip(vectors(nlp), expected, strict=True):
        assert np.array_equal(a, b)


def test_keep_can_change_at_load_time(tmp_path):
    initialised().to_disk(tmp_path)
    nlp = spacy.load(tmp_path, config={"components": {"ctxemb": {"keep": "layers"}}})
    assert nlp("two words")._.ctxemb.shape == (3, 2, WIDTH)


def test_weights_of_another_shape(tmp_path):
    initialised().to_disk(tmp_path)
    other = blank({**BILM, "encoder": {**BILM["encoder"], "hidden_width": 10}})
    message = r"\[E020\].*encoder\.directions\.0\.0\.\w+: expected \(40, 8\), found \(48, 8\)"
    with pytest.raises(ValueError, match=message):
        other.get_pipe("ctxemb").from_disk(tmp_path / "ctxemb")


def test_weights_of_another_width():
    data = initialised().get_pipe("ctxemb").model.to_bytes()
    message = r"\[E020\].*width of the vectors: expected 24, found 16"
    with pytest.raises(ValueError, match=message):
        blank({**BILM, "width": 24}).get_pipe("ctxemb").model.from_bytes(data)


def test_pretrained_weights_fit_another_mix():
    """What `spacy pretrain` saves is the encoder; the mix is the task's own."""
    source = initialised({**BILM, "mix": {"@architectures": "spacy-ctxemb.Layer.v1"}})
    shim = get_shim(source.get_pipe("ctxemb").model)
    shim.objective = BiLMObjective(shim.embedder.encoder, ["<S>", "</S>", "<UNK>"], n_samples=None)
    shim.objective.reset_parameters()
    nlp = blank(BILM)
    nlp.get_pipe("ctxemb").model.from_bytes(source.get_pipe("ctxemb").model.to_bytes())
    found = parameters(nlp)
    assert nlp("two words").tensor.shape == (2, WIDTH)
    for name, value in parameters(source).items():
        assert name.startswith("objective.") or torch.equal(found[name], value)


def test_pieces_of_another_kind(tmp_path):
    initialised().to_disk(tmp_path)
    with pytest.raises(ValueError, match=r"\[E019\].*'characters', 262, 50"):
        blank(TRANSFORMER).get_pipe("ctxemb").from_disk(tmp_path / "ctxemb")


def test_an_interrupted_save_leaves_the_old_files(tmp_path, monkeypatch):
    import safetensors.torch

    nlp = initialised(seed=0)
    expected = vectors(nlp)
    nlp.to_disk(tmp_path)

    def fail(tensors, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        initialised(seed=1).to_disk(tmp_path)
    for a, b in zip(vectors(spacy.load(tmp_path)), expected, strict=True):
        assert np.array_equal(a, b)
    assert not list((tmp_path / "ctxemb" / "model").glob("*.tmp*"))


def test_the_factory_says_what_it_assigns():
    meta = Language.get_factory_meta("ctxemb")
    assert set(meta.assigns) == {"doc.tensor", "doc._.ctxemb", "doc._.ctxemb_boundaries"}
    nlp = initialised()
    assert isinstance(nlp.get_pipe("ctxemb"), ContextualEmbedder)
    assert nlp.analyze_pipes()["problems"]["ctxemb"] == []


@pytest.mark.gpu
def test_gpu(model):
    spacy.require_gpu()
    nlp = with_ner(model)
    assert update(nlp, NER_DATA, steps=STEPS)["ents_f"] == 1.0
    ops = get_current_ops()
    doc = nlp("Ada lives in Oslo.")
    assert isinstance(doc.tensor, ops.xp.ndarray)
    assert list(chain(doc.vector.shape)) == [WIDTH]
