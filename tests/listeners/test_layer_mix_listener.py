"""Each component on top of a shared encoder learns its own mix of the layers."""

import copy
import pickle

import numpy as np
import pytest
import spacy
import torch
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from spacy.util import load_model_from_config
from thinc.api import Adam, Config, Model, fix_random_seed

from spacy_ctxemb.doc_vectors import TOKENS_KEY
from spacy_ctxemb.embedder.embedder import Embedder
from spacy_ctxemb.embedder.layer_mix import TokenMix
from spacy_ctxemb.listeners.layer_mix_listener import LayerMixListener
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..docs.pages import read_excerpt
from ..pipelines import (
    BILM,
    MODELS,
    NER_DATA,
    TEXTCAT_DATA,
    TRANSFORMER,
    WIDTH,
    blank,
    examples,
    initialised,
    learn_by_heart,
    listener,
    ner_config,
    textcat_config,
)
from ..pretraining import read_ner_config

DATA = [(text, {**a, **b}) for (text, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
TEXTS = [*(text for text, _ in DATA), "", "a  \n b", " "]
FROZEN = {"exclude": ["ctxemb"], "annotates": ["ctxemb"]}
ONE_LAYER_LESS = {**BILM, "encoder": {**BILM["encoder"], "n_lstm_layers": 1}}

#: Word pieces, of which a token has several, make pooling matter.
HARD = {**TRANSFORMER, "pooling": "max", "width": 12}


def mixing(**settings):
    return {"@architectures": "spacy-ctxemb.LayerMixListener.v1", "width": WIDTH, **settings}


def pipeline(model=BILM, *, ner=None, textcat=None, **settings):
    """An encoder with NER and text classification, which mix its layers unless told otherwise."""
    nlp = blank(model, **settings)
    nlp.add_pipe("ner", config=ner_config(mixing() if ner is None else ner))
    nlp.add_pipe("textcat", config=textcat_config(mixing() if textcat is None else textcat))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, DATA))
    return nlp


def update(nlp, steps=3, optimizer=None, **settings):
    optimizer = optimizer or Adam(0.01)
    for _ in range(steps):
        nlp.update(examples(nlp, DATA), sgd=optimizer, **settings)


def mix_of(nlp, name):
    (node,) = [n for n in nlp.get_pipe(name).model.walk() if isinstance(n, LayerMixListener)]
    return node.mix


def set_mix(mix, weights, gamma):
    with torch.no_grad():
        mix.weights.copy_(torch.tensor(weights))
        mix.gamma.fill_(gamma)


def encoder_values(nlp):
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    return {n: p.detach().clone() for n, p in shim.embedder.encoder.named_parameters()}


def changed(before, nlp):
    return [name for name, p in encoder_values(nlp).items() if not torch.equal(p, before[name])]


def predictions(nlp, texts=TEXTS):
    """What NER and text classification make of texts, as numbers."""
    docs = list(nlp.pipe(texts))
    entities = [[(e.text, e.label_) for e in doc.ents] for doc in docs]
    return entities, np.array([list(doc.cats.values()) for doc in docs])


def assert_equal_predictions(a, b, **tolerance):
    assert a[0] == b[0]
    np.testing.assert_allclose(a[1], b[1], **tolerance or {"rtol": 0, "atol": 0})


def listen(nlp, *nodes, name="reader"):
    """Link listeners as those of one component."""
    model = Model("m", lambda m, X, t: X, layers=list(nodes))
    nlp.get_pipe("ctxemb").find_listeners(type("Component", (), {"name": name, "model": model})())
    return nodes


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


# What comes out


def test_a_plain_average_is_what_other_listeners_get(model):
    mix = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}
    nlp = initialised({**model, "mix": mix})
    mixed, plain = listen(
        nlp, LayerMixListener("*", WIDTH, layer_norm=None), Tok2VecListener("*", WIDTH)
    )
    docs = [nlp.make_doc(text) for text in TEXTS]
    for doc in docs:
        nlp.get_pipe("ctxemb")(doc)
    for a, b, doc in zip(mixed.predict(docs), plain.predict(docs), docs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_allclose(a, doc.tensor, atol=1e-6)


def test_weights_and_gamma_by_hand():
    nlp = initialised(keep="layers")
    (node,) = listen(nlp, LayerMixListener("ctxemb", WIDTH, layer_norm=None))
    set_mix(node.mix, [0.0, np.log(2), 0.0], 3.0)
    doc = nlp("two words")
    expected = 3 * np.tensordot([0.25, 0.5, 0.25], doc._.ctxemb, axes=1)
    np.testing.assert_allclose(node.predict([doc])[0], expected, atol=1e-6)


def test_layer_norm_leaves_white_space_out():
    nlp = initialised(keep="layers")
    (node,) = listen(nlp, LayerMixListener("ctxemb", WIDTH, layer_norm="document"))
    docs = [nlp("two  \n words"), nlp(" "), nlp(""), nlp("one")]
    outputs = node.predict(docs)
    for doc, output in zip(docs, outputs, strict=True):
        chosen = [not token.is_space for token in doc]
        expected = np.zeros((len(doc), WIDTH))
        if any(chosen):
            layers = doc._.ctxemb[:, chosen]
            mean = layers.mean(axis=(1, 2), keepdims=True)
            expected[chosen] = ((layers - mean) / layers.std(axis=(1, 2), keepdims=True)).mean(0)
        np.testing.assert_allclose(output, expected, atol=1e-4)
        np.testing.assert_allclose(node.predict([doc])[0], output, atol=1e-5)


@pytest.mark.parametrize("layer_norm", [None, "document"])
def test_gradient_equals_finite_differences(model, layer_norm):
    """Through windows that overlap, pooling, two mixes and the upstream's own."""
    nlp = initialised({**model, "window": 6, "stride": 3})
    pipe = nlp.get_pipe("ctxemb")
    nodes = listen(
        nlp,
        LayerMixListener("*", WIDTH, layer_norm=layer_norm),
        LayerMixListener("*", WIDTH, layer_norm=None),
        Tok2VecListener("*", WIDTH),
    )
    embedder = get_shim(pipe.model).embedder.double()
    modules = [embedder, nodes[0].mix.double(), nodes[1].mix.double()]
    generator = np.random.default_rng(0)
    for module in modules[1:]:
        set_mix(module, generator.normal(size=3), 1.5)
    egs = examples(nlp, NER_DATA[:2])
    docs = [eg.predicted for eg in egs]
    factors = [[generator.normal(size=(len(doc), WIDTH)) for doc in docs] for _ in nodes]

    def compute():
        pipe.update(egs)
        passes = [node.begin_update(docs) for node in nodes]
        loss = sum(
            float((y * f).sum())
            for (outputs, _), fs in zip(passes, factors, strict=True)
            for y, f in zip(outputs, fs, strict=True)
        )
        return loss, [backprop for _, backprop in passes]

    _, backprops = compute()
    for backprop, fs in zip(backprops, factors, strict=True):
        backprop(fs)
    pipe.flush_gradient()
    step = 1e-6
    for parameter in [p for module in modules for p in module.parameters()]:
        direction = torch.from_numpy(generator.normal(size=parameter.shape))
        values = []
        for sign in (1, -2):
            parameter.data += sign * step * direction
            values.append(compute()[0])
        parameter.data += step * direction
        found = 0.0 if parameter.grad is None else float((parameter.grad * direction).sum())
        assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-5)


# Training


@pytest.mark.parametrize("settings", [{}, FROZEN], ids=["fine-tuned", "frozen"])
@pytest.mark.parametrize("layer_norm", [None, "document"])
def test_each_component_learns_its_own_mix(model, settings, layer_norm):
    ner, textcat = mixing(layer_norm=layer_norm), mixing(upstream="ctxemb")
    nlp = pipeline(model, ner=ner, textcat=textcat)
    before = encoder_values(nlp)
    update(nlp, **settings)
    weights = nlp.get_pipe("ctxemb").layer_weights()
    assert list(weights) == ["ctxemb", "ner", "textcat"]
    assert weights["ctxemb"] == ([pytest.approx(1 / 3)] * 3, 1.0)
    for name in ("ner", "textcat"):
        assert sum(weights[name].shares) == pytest.approx(1)
        assert weights[name].shares != pytest.approx([1 / 3] * 3, abs=1e-4)
        assert weights[name].gamma != pytest.approx(1, abs=1e-4)
    assert weights["ner"].shares != pytest.approx(weights["textcat"].shares, abs=1e-5)
    assert changed(before, nlp) == ([] if settings else list(before))


def test_ner_learns_four_texts_by_heart():
    nlp = blank()
    nlp.add_pipe("ner", config=ner_config(mixing(layer_norm="document")))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    learn_by_heart(nlp, NER_DATA, "ents_f")


@pytest.mark.parametrize("settings", [{}, FROZEN], ids=["fine-tuned", "frozen"])
def test_other_listeners_learn_beside_it(settings):
    nlp = pipeline({**BILM, "width": 12}, textcat=listener(width=12))
    before = encoder_values(nlp)
    update(nlp, **settings)
    weights = nlp.get_pipe("ctxemb").layer_weights()
    start = ([pytest.approx(1 / 3)] * 3, 1.0)
    assert weights["ner"] != start
    assert (weights["ctxemb"] == start) == bool(settings)
    assert changed(before, nlp) == ([] if settings else list(before))


def test_tagger_and_the_ensemble_of_textcat():
    nlp = blank()
    nlp.add_pipe("tagger", config={"model": {"tok2vec": mixing()}})
    ensemble = {
        "@architectures": "spacy.TextCatEnsemble.v2",
        "tok2vec": mixing(),
        "linear_model": {
            "@architectures": "spacy.TextCatBOW.v3",
            "exclusive_classes": True,
            "ngram_size": 1,
        },
    }
    nlp.add_pipe("textcat", config={"model": ensemble})
    data = [
        (t, {"cats": a["cats"], "tags": [w.shape_[:1] for w in nlp.make_doc(t)]}) for t, a in DATA
    ]
    nlp.initialize(lambda: examples(nlp, data))
    optimizer = Adam(0.01)
    for _ in range(2):
        nlp.update(examples(nlp, data), sgd=optimizer)
    assert mix_of(nlp, "tagger").gamma.item() != 1
    assert mix_of(nlp, "textcat").gamma.item() != 1
    doc = nlp("two words")
    assert all(token.tag_ for token in doc)
    assert doc._.ctxemb is None


def gradients(nlp, *batches):
    """Of the encoder and the mix, after several batches without a step."""
    for batch in batches:
        nlp.update(examples(nlp, batch), sgd=False, exclude=["ner"])  # which draws at random
    nlp.get_pipe("ctxemb").flush_gradient()
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    return [p.grad for p in (*shim.embedder.parameters(), *mix_of(nlp, "textcat").parameters())]


def test_gradients_of_batches_add_up():
    """As with training.accumulate_gradient."""
    nlp = pipeline()
    update(nlp)  # output layers begin with zeros, and pass nothing back
    a, b, both = (
        gradients(copy.deepcopy(nlp), *batches)
        for batches in ([DATA[:2]], [DATA[2:]], [DATA[:2], DATA[2:]])
    )
    assert sum(total is None for total in both) == 2  # the mix of the encoder itself
    for one, other, total in zip(a, b, both, strict=True):
        if total is None:
            continue
        torch.testing.assert_close(one + other, total, rtol=1e-4, atol=1e-6)
    assert both[-1].any()


def test_averages_act_on_the_mix():
    nlp = pipeline()
    optimizer = Adam(0.01, use_averages=True)
    update(nlp, optimizer=optimizer)
    weights = nlp.get_pipe("ctxemb").layer_weights
    now = weights()
    with nlp.use_params(optimizer.averages):
        inside = weights()
    assert inside["ner"] != now["ner"]
    assert inside["textcat"] != now["textcat"]
    assert weights() == now


def test_a_component_that_gets_no_update_sends_nothing():
    nlp = pipeline()
    before = encoder_values(nlp)
    update(nlp, exclude=["ner"])
    assert changed(before, nlp)
    assert not mix_of(nlp, "ner").weights.any()
    update(nlp, **FROZEN)


def test_layers_cost_nothing_where_nobody_wants_them(monkeypatch):
    nlp = pipeline(ner=listener(), textcat=listener())
    asked = []
    forward = Embedder.forward

    def note(self, windows, wanted, *others):
        asked.append(wanted.layers)
        return forward(self, windows, wanted, *others)

    monkeypatch.setattr(Embedder, "forward", note)
    update(nlp, steps=1)
    nlp("two words")
    assert asked == [False, False]


def test_initialize_forgets_what_was_learned():
    nlp = pipeline()
    update(nlp)
    nlp.initialize(lambda: examples(nlp, DATA))
    assert nlp.get_pipe("ctxemb").layer_weights()["ner"].gamma == 1


def test_the_excerpt_of_the_docs_learns():
    excerpt = read_excerpt("a mix for each task")
    whole = read_ner_config()
    base = Config({name: whole[name] for name in ("nlp", "components")})
    del base["components"]["ner"]["model"]["tok2vec"]
    base["components"]["ctxemb"]["model"]["encoder"]["hidden_width"] = 128
    config = Config().from_str(f"{base.to_str()}\n{excerpt}")
    nlp = load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    update(nlp, steps=2)
    assert nlp.get_pipe("ctxemb").layer_weights()["ner"].gamma != 1


# What stays on a Doc


@pytest.mark.parametrize("keep", ["tensor", "layers", "none"])
def test_layers_are_dropped_after_the_last_reader(keep):
    nlp = pipeline(keep=keep)
    for doc in nlp.pipe(TEXTS):
        assert (doc._.ctxemb is None) == (keep != "layers")
        assert doc.tensor.shape == ((0,) if keep == "none" else (len(doc), WIDTH))
        if keep != "layers":
            assert set(doc.user_data) == ({TOKENS_KEY} if keep == "tensor" else set())


def test_vectors_and_layers_have_their_own_last_reader():
    nlp = pipeline(textcat=listener(), keep="none")
    ner = nlp.get_pipe("ctxemb")(nlp.make_doc("two words"))
    ner = nlp.get_pipe("ner")(ner)
    assert ner._.ctxemb is None
    assert ner.tensor.size
    assert nlp("two words").tensor.size == 0


def test_a_component_with_several_listeners_reads_more_than_once():
    nlp = initialised(keep="none")
    layers = [LayerMixListener("*", WIDTH, layer_norm=None) for _ in range(2)]
    plain = [Tok2VecListener("*", WIDTH) for _ in range(2)]
    listen(nlp, *layers, *plain)
    doc = nlp("two words")
    for node in (layers[0], plain[0]):
        node.predict([doc])
        assert doc._.ctxemb is not None
        assert doc.tensor.size
    layers[1].predict([doc])
    plain[1].predict([doc])
    assert doc.tensor.size == 0
    assert doc.user_data == {}
    assert set(nlp.get_pipe("ctxemb").layer_weights()) == {"ctxemb", "reader", "reader (2)"}


def test_predicted_docs_keep_layers_until_all_have_learned():
    """As in `spacy train` with a frozen encoder and annotating components."""
    nlp = pipeline()
    annotating = {"exclude": ["ctxemb"], "annotates": ["ctxemb", "ner"]}
    update(nlp, steps=2, **annotating)
    egs = examples(nlp, DATA)
    nlp.update(egs, sgd=Adam(0.01), **annotating)
    assert all(eg.predicted._.ctxemb is None for eg in egs)
    assert nlp.evaluate(egs)["cats_macro_auc"] is not None


def test_several_processes():
    nlp = pipeline()
    expected = predictions(nlp)
    docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=3))
    found = np.array([list(doc.cats.values()) for doc in docs])
    np.testing.assert_allclose(found, expected[1], atol=1e-6)
    assert all(doc._.ctxemb is None for doc in docs)


def test_layers_of_a_doc_that_was_bytes():
    nlp = pipeline(keep="layers")
    with nlp.select_pipes(enable="ctxemb"), pytest.warns(UserWarning, match="W109"):
        data = nlp("two words").to_bytes()
    doc = nlp.get_pipe("textcat")(Doc(nlp.vocab).from_bytes(data))
    assert doc.cats == pytest.approx(nlp("two words").cats)


# A private copy


@pytest.mark.parametrize("layer_norm", [None, "document"])
@pytest.mark.parametrize("model", [BILM, HARD], ids=["bilm", "word pieces and projection"])
def test_replaced_listeners_predict_the_same(model, layer_norm, tmp_path):
    ner = listener(width=model.get("width", WIDTH))
    nlp = pipeline(model, ner=ner, textcat=mixing(layer_norm=layer_norm))
    update(nlp, steps=5)
    expected = predictions(nlp)
    learned = mix_of(nlp, "textcat").layer_weights()
    nlp.replace_listeners("ctxemb", "textcat", ["model.tok2vec"])
    assert_equal_predictions(predictions(nlp), expected, atol=1e-5)
    tok2vec = nlp.config["components"]["textcat"]["model"]["tok2vec"]
    assert tok2vec["mix"]["@architectures"] == "spacy-ctxemb.TokenMix.v1"
    assert tok2vec["width"] is None
    (shim,) = [s for node in nlp.get_pipe("textcat").model.walk() for s in node.shims]
    assert shim.embedder.mix.layer_weights() == learned
    nlp.to_disk(tmp_path)
    assert_equal_predictions(predictions(spacy.load(tmp_path)), expected, atol=1e-5)
    before = encoder_values(nlp)
    update(nlp, steps=1, exclude=["ner", "ctxemb"])
    assert shim.embedder.mix.layer_weights() != learned
    assert changed(before, nlp) == []


@pytest.mark.parametrize("model", [BILM, HARD], ids=["bilm", "word pieces and projection"])
def test_a_replaced_member_of_a_stack_predicts_the_same(model, tmp_path):
    members = {"context": mixing(layer_norm="document"), "other": mixing(layer_norm="document")}
    stack = {"@architectures": "spacy-ctxemb.Stack.v1", "combine": "concat", "members": members}
    nlp = pipeline(model, textcat=stack)
    update(nlp, steps=5)
    expected = predictions(nlp)
    paths = [f"model.tok2vec.members.{name}" for name in members]
    nlp.replace_listeners("ctxemb", "textcat", paths)
    assert_equal_predictions(predictions(nlp), expected, atol=1e-5)
    nlp.to_disk(tmp_path)
    assert_equal_predictions(predictions(spacy.load(tmp_path)), expected, atol=1e-5)


def test_members_of_several_kinds_are_not_replaced():
    members = {"context": mixing(layer_norm="document"), "plain": listener()}
    stack = {"@architectures": "spacy-ctxemb.Stack.v1", "combine": "concat", "members": members}
    nlp = pipeline(BILM, textcat=stack)
    paths = [f"model.tok2vec.members.{name}" for name in members]
    message = r"\[E033\] The listeners of one component .* all are of one kind.*Tok2VecListener"
    with pytest.raises(ValueError, match=message):
        nlp.replace_listeners("ctxemb", "textcat", paths)


def test_replacing_the_last_reader_makes_another_the_last():
    nlp = pipeline()
    nlp.replace_listeners("ctxemb", "textcat", ["model.tok2vec"])
    assert set(nlp("two words").user_data) == {TOKENS_KEY}
    nlp.replace_listeners("ctxemb", "ner", ["model.tok2vec"])
    assert nlp("two words")._.ctxemb is None


def test_other_listeners_are_replaced_as_ever():
    nlp = pipeline(textcat=listener())
    expected = predictions(nlp)
    nlp.replace_listeners("ctxemb", "textcat", ["model.tok2vec"])
    assert_equal_predictions(predictions(nlp), expected, atol=1e-6)
    mix = nlp.config["components"]["textcat"]["model"]["tok2vec"]["mix"]
    assert mix["@architectures"] == "spacy-ctxemb.ScalarMix.v1"


def test_sourced_with_a_private_copy(tmp_path):
    source = pipeline()
    update(source)
    source.to_disk(tmp_path)
    sourced = {"source": str(tmp_path), "replace_listeners": ["model.tok2vec"]}
    config = {
        "nlp": {"lang": "en", "pipeline": ["textcat"]},
        "components": {"textcat": sourced},
    }
    nlp = load_model_from_config(Config(config), auto_fill=True)
    expected = predictions(source)[1]
    np.testing.assert_allclose(
        [list(doc.cats.values()) for doc in nlp.pipe(TEXTS)], expected, atol=1e-5
    )


def test_sourced_onto_another_encoder():
    source = pipeline()
    update(source)
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", source=source)
    nlp.add_pipe("textcat", source=source)
    expected = predictions(source)[1]
    found = [list(doc.cats.values()) for doc in nlp.pipe(TEXTS)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    other = initialised(ONE_LAYER_LESS)
    with pytest.raises(ValueError, match=r"\[E029\].*'textcat'.*for 3 layers.*'ctxemb' has 2"):
        other.add_pipe("textcat", source=source)


# Serialisation


def test_bytes_disk_pickle_and_copies_predict_the_same(tmp_path):
    nlp = pipeline()
    update(nlp)
    expected = predictions(nlp)
    nlp.to_disk(tmp_path)
    twins = [
        pipeline().from_bytes(nlp.to_bytes()),
        spacy.load(tmp_path),
        pickle.loads(pickle.dumps(nlp)),
        copy.deepcopy(nlp),
    ]
    for twin in twins:
        assert_equal_predictions(predictions(twin), expected)
        assert twin.to_bytes() == nlp.to_bytes()
    ids = [node.shims[0].id for n in (nlp, twins[-1]) for node in _listeners(n)]
    assert len(set(ids)) == len(ids)
    loaded = twins[1]
    loaded.resume_training()
    update(loaded)
    assert mix_of(loaded, "ner").gamma.item() != mix_of(nlp, "ner").gamma.item()


def _listeners(nlp):
    return nlp.get_pipe("ctxemb").listeners


def test_loading_without_the_encoder(tmp_path):
    nlp = pipeline()
    update(nlp)
    nlp.to_disk(tmp_path / "a")
    missing = r"\[E028\] 'ner' mixes the layers of 'ctxemb'.*2 tokens.*disabled"
    disabled = spacy.load(tmp_path / "a", disable=["ctxemb"])
    with pytest.raises(ValueError, match=missing):
        disabled("two words")
    excluded = spacy.load(tmp_path / "a", exclude=["ctxemb"])
    with pytest.raises(RuntimeError, match=r"\[E031\].*for '\*'.*it was excluded"):
        excluded("two words")
    with nlp.select_pipes(enable="ctxemb"):
        doc = nlp("two words")
    assert excluded(doc).cats == pytest.approx(nlp("two words").cats)
    assert torch.equal(mix_of(excluded, "ner").weights, mix_of(nlp, "ner").weights)
    excluded.to_disk(tmp_path / "b")
    assert mix_of(spacy.load(tmp_path / "b"), "ner").n_layers == 3


def test_linking_wants_no_weights():
    nlp = blank()
    nlp.add_pipe("ner", config=ner_config(mixing()))
    assert mix_of(nlp, "ner").n_layers == 3
    with pytest.raises(RuntimeError, match=r"\[E008\]"):
        nlp.get_pipe("ctxemb").layer_weights()


def test_an_untrained_mix_fits_any_encoder():
    nlp = blank()
    nlp.add_pipe("ner", config=ner_config(mixing()))
    nlp.replace_pipe("ctxemb", "ctxemb", config={"model": ONE_LAYER_LESS})
    assert mix_of(nlp, "ner").n_layers == 2


# Bad input


def test_a_width_other_than_the_encoders():
    nlp = blank({**BILM, "width": 12})
    expected = r"\[E032\].*'ner' has width 12.*'ctxemb' have width 16. Set its width to 16"
    with pytest.raises(ValueError, match=expected):
        nlp.add_pipe("ner", config=ner_config(mixing(width=12)))


def test_an_unknown_layer_norm():
    with pytest.raises(ValueError, match=r"\[E152\].*'batch'.*\['null', 'document'\]"):
        blank().add_pipe("ner", config=ner_config(mixing(layer_norm="batch")))
    with pytest.raises(ValueError, match=r"\[E152\].*'sentence'"):
        TokenMix(3, WIDTH, layer_norm="sentence")


def test_an_upstream_without_layers():
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("ner", config=ner_config(mixing(width=96)))
    with pytest.raises(RuntimeError, match=r"\[E031\] A LayerMixListener for '\*'"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))


def test_a_listener_before_its_encoder():
    nlp = spacy.blank("en")
    nlp.add_pipe("ner", config=ner_config(mixing()))
    nlp.add_pipe("ctxemb", config={"model": BILM})
    with pytest.raises(RuntimeError, match=r"\[E031\].*no component 'ctxemb' comes before it"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))


def test_a_component_that_runs_twice():
    nlp = pipeline()
    doc = nlp("two words")
    with pytest.raises(ValueError, match=r"\[E028\].*'textcat'.*'ctxemb'.*keep to \"layers\""):
        nlp.get_pipe("textcat")(doc)
    kept = pipeline(keep="layers")
    kept.get_pipe("textcat")(kept("two words"))


def test_frozen_without_annotating():
    with pytest.raises(ValueError, match=r"\[E025\] 'ner'.*annotating_components"):
        update(pipeline(), exclude=["ctxemb"])


def test_layers_of_another_shape():
    nlp = pipeline(keep="layers")
    doc = nlp("two words")
    doc._.ctxemb = nlp("two words here")._.ctxemb
    expected = r"\[E030\].*\(3, 3, 16\).*'textcat' expects \(3, 2, 16\)"
    with pytest.raises(ValueError, match=expected):
        nlp.get_pipe("textcat")(doc)


def test_a_gradient_that_is_not_finite():
    nlp = initialised(keep="layers")
    (node,) = listen(nlp, LayerMixListener("*", WIDTH, layer_norm=None))
    outputs, backprop = node.begin_update([nlp("two words")])
    backprop([np.full_like(y, np.nan) for y in outputs])
    before = node.mix.layer_weights()
    with pytest.warns(UserWarning, match=r"\[W004\] An update was skipped"):
        node.finish_update(Adam(0.001))
    assert node.mix.layer_weights() == before
