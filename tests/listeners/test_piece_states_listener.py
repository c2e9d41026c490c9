"""Components that read the states of pieces and windows in the encoder's last layer."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from spacy.pipeline.tok2vec import Tok2VecListener
from thinc.api import Model

from spacy_ctxemb.cache.feature_cache import build_feature_cache
from spacy_ctxemb.embedder.output_types import Wanted
from spacy_ctxemb.listeners.layer_mix_listener import LayerMixListener
from spacy_ctxemb.listeners.piece_states_listener import PieceStatesListener
from spacy_ctxemb.thinc_model.docs_to_outputs import embed_docs
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import BILM, MODELS, NER_DATA, TRANSFORMER, WIDTH, examples, initialised
from ..stacks import stack, stacked

TEXTS = [*(text for text, _ in NER_DATA), "", "a  \n b", " ", "word " * 40]

#: Mixes that are not the last layer.
MIXES = [
    {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None},
    {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "document"},
    {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "batch"},
    {"@architectures": "spacy-ctxemb.TokenMix.v1", "layer_norm": None},
    {"@architectures": "spacy-ctxemb.Layer.v1", "layer": 0},
    {"@architectures": "spacy-ctxemb.ConcatLayers.v1"},
]
LAST = {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1}


@pytest.fixture(params=MODELS)
def model(request: Any) -> Any:
    return MODELS[request.param]


def listen(nlp: Any, *nodes: Any, name: str = "reader") -> Any:
    """Link listeners as those of one component."""
    model: Any = Model("m", lambda m, X, t: X, layers=list(nodes))
    nlp.get_pipe("ctxemb").find_listeners(type("Component", (), {"name": name, "model": model})())
    return nodes


def read(nlp: Any, docs: list[Any]) -> list[Any]:
    """What a listener gets of each Doc."""
    (node,) = listen(nlp, PieceStatesListener("*", None))
    for doc in docs:
        nlp.get_pipe("ctxemb")(doc)
    return node.predict(docs)


# What comes out


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_states_are_those_of_the_last_layer_whatever_the_mix(model: Any, mix: Any) -> None:
    chosen, last = (initialised({**model, "mix": one, "pooling": "first"}) for one in (mix, LAST))
    tensors = get_shim(chosen.get_pipe("ctxemb").model).embedder.encoder.state_dict()
    get_shim(last.get_pipe("ctxemb").model).load_encoder(tensors)
    docs = [last(text) for text in TEXTS]
    for doc, found in zip(docs, read(chosen, [last.make_doc(t) for t in TEXTS]), strict=True):
        has_pieces = found["lengths"] > 0
        first = found["rows"][found["starts"][has_pieces]]
        np.testing.assert_allclose(first, doc.tensor[has_pieces], rtol=1e-5, atol=1e-5)


def test_edges_are_the_boundaries_of_windows(model: Any) -> None:
    nlp = initialised({**model, "window": 6, "stride": 4})
    docs = [nlp.make_doc(text) for text in TEXTS]
    wanted = Wanted(boundaries=True, states=True)
    outputs, _ = embed_docs(nlp.get_pipe("ctxemb").model, docs, wanted, is_train=False)
    for doc, output in zip(docs, outputs, strict=True):
        states, boundaries = output.states, output.boundaries
        assert states is not None and boundaries is not None
        n_pieces, n_windows = len(states["offsets"]), len(states["owned"])
        assert len(states["rows"]) == n_pieces + 2 * n_windows
        assert states["owned"].sum() == n_pieces and n_windows > len(doc) // 10
        edges = states["rows"][n_pieces:]
        np.testing.assert_allclose(edges[[0, -1]], boundaries[-1, 0], rtol=1e-5, atol=1e-5)


def test_a_doc_does_not_depend_on_others(model: Any) -> None:
    nlp = initialised({**model, "window": 6, "stride": 4})
    docs = [nlp.make_doc(text) for text in TEXTS]
    wanted = Wanted(states=True)
    thinc_model = nlp.get_pipe("ctxemb").model
    together, _ = embed_docs(thinc_model, docs, wanted, is_train=False)
    for doc, output in zip(docs, together, strict=True):
        (alone,), _ = embed_docs(thinc_model, [doc], wanted, is_train=False)
        assert output.states is not None and alone.states is not None
        for key, value in alone.states.items():
            np.testing.assert_allclose(output.states[key], value, rtol=1e-5, atol=1e-5)


def test_training_gets_what_prediction_writes(model: Any) -> None:
    nlp = initialised({**model, "window": 6, "stride": 4})
    (node,) = listen(nlp, PieceStatesListener("*", WIDTH))
    egs = examples(nlp, NER_DATA)
    nlp.get_pipe("ctxemb").update(egs)
    sent, _ = node.begin_update([eg.predicted for eg in egs])
    nlp.get_pipe("ctxemb").flush_gradient()
    for one, doc in zip(sent, nlp.pipe([text for text, _ in NER_DATA]), strict=True):
        for key, value in doc._.ctxemb_states.items():
            np.testing.assert_allclose(one[key], value, rtol=1e-5, atol=1e-5)


def test_sentences_have_places() -> None:
    nlp = initialised({**TRANSFORMER, "split_sentences": True})
    doc = nlp.make_doc("One is here. Two are there. Three")
    for token in doc:
        token.is_sent_start = token.i in (0, 4, 8)
    (states,) = read(nlp, [doc])
    assert states["sentences"] == [0, 13, 28]
    assert states["sequences"].tolist() == [0, 1, 2]


def test_pieces_follow_tokens_that_are_merged() -> None:
    nlp = initialised(TRANSFORMER)
    listen(nlp, PieceStatesListener("*", None))
    doc = nlp.get_pipe("ctxemb")(nlp.make_doc("Ada Lovelace lives"))
    before = doc._.ctxemb_states
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    after = doc._.ctxemb_states
    assert after["lengths"].tolist() == [sum(before["lengths"][:2]), before["lengths"][2]]


# Gradients


def test_gradient_equals_finite_differences(model: Any) -> None:
    """Through windows that overlap, with other listeners beside it."""
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None}
    nlp = initialised({**model, "mix": mix, "window": 6, "stride": 3})
    pipe = nlp.get_pipe("ctxemb")
    nodes = listen(
        nlp,
        PieceStatesListener("*", WIDTH),
        PieceStatesListener("*", None),
        LayerMixListener("*", WIDTH, layer_norm=None),
        Tok2VecListener("*", WIDTH),
    )
    embedder = get_shim(pipe.model).embedder.double()
    nodes[2].mix.double()
    egs = examples(nlp, [*NER_DATA[:2], ("", {})])
    docs = [eg.predicted for eg in egs]
    check(pipe, egs, docs, nodes, embedder)


def test_gradient_of_states_alone(model: Any) -> None:
    """Where no other layer is computed."""
    nlp = initialised({**model, "mix": LAST, "window": 6, "stride": 3})
    pipe = nlp.get_pipe("ctxemb")
    nodes = listen(nlp, PieceStatesListener("*", WIDTH))
    egs = examples(nlp, NER_DATA[:2])
    check(pipe, egs, [eg.predicted for eg in egs], nodes, get_shim(pipe.model).embedder.double())


def check(pipe: Any, egs: Any, docs: Any, nodes: Any, embedder: Any) -> None:
    generator = np.random.default_rng(0)
    factors: list[Any] = []

    def compute() -> Any:
        pipe.update(egs)
        passes = [node.begin_update(docs) for node in nodes]
        rows = [[one["rows"] if isinstance(one, dict) else one for one in ys] for ys, _ in passes]
        if not factors:
            factors.extend([[generator.normal(size=y.shape) for y in ys] for ys in rows])
        pairs = zip(rows, factors, strict=True)
        loss = sum(float((y * f).sum()) for ys, fs in pairs for y, f in zip(ys, fs, strict=True))
        return loss, [backprop for _, backprop in passes]

    _, backprops = compute()
    for backprop, gradients in zip(backprops, factors, strict=True):
        backprop(gradients)
    pipe.flush_gradient()
    step = 1e-6
    for parameter in embedder.parameters():
        direction = torch.from_numpy(generator.normal(size=parameter.shape))
        values = []
        for sign in (1, -2):
            parameter.data += sign * step * direction
            values.append(compute()[0])
        parameter.data += step * direction
        found = 0.0 if parameter.grad is None else float((parameter.grad * direction).sum())
        assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-5)


def test_grad_factor_0_trains_no_encoder() -> None:
    nlp = initialised()
    pipe = nlp.get_pipe("ctxemb")
    (node,) = listen(nlp, PieceStatesListener("*", WIDTH, grad_factor=0.0))
    egs = examples(nlp, NER_DATA)
    pipe.update(egs)
    states, backprop = node.begin_update([eg.predicted for eg in egs])
    backprop([np.ones_like(one["rows"]) for one in states])
    pipe.flush_gradient()
    assert all(p.grad is None for p in get_shim(pipe.model).embedder.parameters())


# How long Docs carry them


def test_states_are_dropped_by_the_last_reader() -> None:
    nlp = initialised()
    first, second = (PieceStatesListener("*", WIDTH) for _ in range(2))
    listen(nlp, first, name="first")
    listen(nlp, second, name="second")
    doc = nlp("two words")
    first.predict([doc])
    assert doc._.ctxemb_states is not None
    second.predict([doc])
    assert doc._.ctxemb_states is None
    with pytest.raises(ValueError, match=r"E602.*'second' reads the states of 'ctxemb'.*2 tokens"):
        second.predict([doc])
    assert second.predict([nlp("")])[0]["rows"].shape == (2, WIDTH)


def test_nothing_is_written_where_nobody_listens() -> None:
    assert initialised()("two words")._.ctxemb_states is None


def test_a_frozen_encoder_is_read_from_docs() -> None:
    nlp = initialised()
    (node,) = listen(nlp, PieceStatesListener("*", WIDTH))
    doc = nlp("two words")
    (states,), backprop = node.begin_update([doc])
    assert states["rows"].shape == (2 + 2, WIDTH)
    assert backprop([states["rows"]]) == []
    with pytest.raises(ValueError, match="E025.*'reader' is trained on the vectors of 'ctxemb'"):
        node.begin_update([nlp.make_doc("two words")])


def test_a_cache_is_bypassed() -> None:
    nlp = initialised()
    nlp.get_pipe("ctxemb").cache = build_feature_cache()
    with pytest.warns(UserWarning, match="W005.*'ctxemb' is not used.*PieceStatesListener"):
        listen(nlp, PieceStatesListener("*", WIDTH))
    assert nlp("two words")._.ctxemb_states is not None
    assert nlp.get_pipe("ctxemb").counts["cache_misses"] == 0


# What does not fit


def test_another_width() -> None:
    nlp = initialised()
    with pytest.raises(ValueError, match="E601.*'reader' has width 9, .*'ctxemb' have width 16"):
        listen(nlp, PieceStatesListener("*", 9))


def test_states_of_another_encoder() -> None:
    nlp = initialised()
    (node,) = listen(nlp, PieceStatesListener("*", WIDTH))
    doc = nlp("two words")
    doc._.ctxemb_states = {**doc._.ctxemb_states, "rows": np.zeros((4, 7), dtype="f")}
    with pytest.raises(ValueError, match="E601.*has width 16, .*have width 7"):
        node.predict([doc])


def test_a_stack() -> None:
    nlp = stacked(stack())
    with pytest.raises(ValueError, match="E044.*The PieceStatesListener of 'reader' needs"):
        listen(nlp, PieceStatesListener("*", None))


def test_nobody_upstream() -> None:
    with pytest.raises(RuntimeError, match="E600.*'ctxemb' has no encoder to take states from"):
        PieceStatesListener("ctxemb", None).predict([])


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_grad_factor_is_checked(factor: float) -> None:
    with pytest.raises(ValueError, match="E027"):
        PieceStatesListener("*", WIDTH, grad_factor=factor)


def test_copies_read_docs() -> None:
    nlp = initialised(BILM)
    (node,) = listen(nlp, PieceStatesListener("*", WIDTH))
    doc = nlp("two words")
    for twin in (copy.deepcopy(node), node.copy(), pickle.loads(pickle.dumps(node))):
        assert twin.predict([doc.copy()])[0]["rows"].shape == (4, WIDTH)
