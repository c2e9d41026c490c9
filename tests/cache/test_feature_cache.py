"""A cache of what a frozen encoder makes of Docs, through a spaCy pipeline."""

import copy
import multiprocessing
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from numpy.testing import assert_allclose
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Adam, NumpyOps

from spacy_ctxemb.cache.feature_cache import FeatureCache, build_feature_cache
from spacy_ctxemb.cache.keys import make_encoder_key
from spacy_ctxemb.thinc_model.docs_to_outputs import Outputs
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import (
    BILM,
    NER_DATA,
    TEXTCAT_DATA,
    TEXTS,
    TRANSFORMER,
    examples,
    initialised,
    listener,
    parameters,
    textcat_config,
    vectors,
)

NAME = "spacy-ctxemb.FeatureCache.v1"
LAYER_LISTENER = {
    "@architectures": "spacy-ctxemb.LayerMixListener.v1",
    "width": 16,
    "upstream": "ctxemb",
}

ENCODERS: dict[str, dict[str, Any]] = {
    "ModernTransformer": {
        "vocab_size": 200,
        "width": 16,
        "n_blocks": 4,
        "n_heads": 2,
        "feedforward_width": 24,
        "max_length": 32,
        "local_window": 8,
    },
    "HuggingFace": {
        "config": {
            "model_type": "electra",
            "vocab_size": 200,
            "embedding_size": 16,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 32,
        },
    },
}


def settings(path: Path | None = None, **others: Any) -> dict[str, Any]:
    """The section of the config."""
    return {"@misc": NAME, "path": path and str(path), **others}


def count(nlp: Language) -> list[int]:
    """Hits, misses and Docs without room since the last call."""
    counts = get_shim(nlp.get_pipe("ctxemb").model).counts
    found = [counts[f"cache_{name}"] for name in ("hits", "misses", "full")]
    counts.clear()
    return found


def encode(nlp: Language, doc: Doc) -> Any:
    return nlp.get_pipe("ctxemb")(doc).tensor


@pytest.fixture(params=["memory", "disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "cache" if request.param == "disk" else None


class TestEquality:
    def test_with_and_without(self, model: dict[str, Any], place: Path | None) -> None:
        expected = vectors(initialised(model))
        nlp = initialised(model, cache=settings(place))
        for hits in (0, 5):
            found = vectors(nlp)
            assert count(nlp) == [hits, 5 - hits, 0]
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
            assert all(a.dtype == np.float32 and a.flags.writeable for a in found)

    def test_other_batches(self, model: dict[str, Any]) -> None:
        """What is read is bit by bit what was computed first; new Docs may round otherwise."""
        expected = vectors(initialised(model))
        nlp = initialised(model, cache=settings())
        first = vectors(nlp, TEXTS[::2])
        found = vectors(nlp)
        assert count(nlp) == [3, 5, 0]
        assert all(np.array_equal(a, b) for a, b in zip(found[::2], first, strict=True))
        for a, b in zip(found, expected, strict=True):
            assert_allclose(a, b, atol=1e-5)

    def test_layers(self, model: dict[str, Any], place: Path | None) -> None:
        expected = list(initialised(model, keep="layers").pipe(TEXTS))
        nlp = initialised(model, keep="layers", cache=settings(place))
        for hits in (0, 5):
            docs = list(nlp.pipe(TEXTS))
            assert count(nlp) == [hits, 5 - hits, 0]
            for a, b in zip(docs, expected, strict=True):
                assert np.array_equal(a.tensor, b.tensor)
                assert np.array_equal(a._.ctxemb, b._.ctxemb)

    def test_what_is_wanted_may_change(self) -> None:
        nlp = initialised(cache=settings())
        plain = vectors(nlp)
        nlp.get_pipe("ctxemb").keep = "layers"
        docs = list(nlp.pipe(TEXTS))
        assert docs[0]._.ctxemb.shape == (3, len(docs[0]), 16)
        nlp.get_pipe("ctxemb").keep = "tensor"
        assert all(np.array_equal(a, b) for a, b in zip(vectors(nlp), plain, strict=True))
        assert count(nlp) == [5, 10, 0]

    def test_a_doc_may_be_written_to(self, place: Path | None) -> None:
        nlp = initialised(cache=settings(place))
        expected = vectors(nlp)[0].copy()
        for _ in range(2):
            doc = nlp(TEXTS[0])
            assert np.array_equal(doc.tensor, expected)
            doc.tensor[:] = 0

    def test_float16(self, place: Path | None) -> None:
        nlp = initialised(cache=settings(place, dtype="float16"))
        exact, found = vectors(nlp), vectors(nlp)
        assert count(nlp) == [5, 5, 0]
        for a, b in zip(found, exact, strict=True):
            assert np.array_equal(a, b.astype(np.float16).astype(np.float32))
        n_tokens = sum(len(nlp.make_doc(text)) for text in TEXTS)
        assert nlp.get_pipe("ctxemb").cache.megabytes == pytest.approx(n_tokens * 16 * 2 / 1e6)

    def test_float16_where_numpy_raises(self) -> None:
        """Small values underflow."""
        cache, made = build_feature_cache(dtype="float16"), Outputs(np.full((1, 2), 1e-7, "f"))
        with np.errstate(all="raise"):
            assert cache._store([b"key"], [made], NumpyOps()) == 0

    def test_what_float16_cannot_hold_is_computed_again(self) -> None:
        nlp = initialised(cache=settings(dtype="float16"))
        get_shim(nlp.get_pipe("ctxemb").model).embedder.mix.gamma.data.fill_(1e9)
        for _ in range(2):
            assert np.isfinite(vectors(nlp)[0]).all()
        assert count(nlp) == [1, 9, 8]  # the empty Doc fits

    def test_a_record_of_another_size_is_replaced(self, place: Path | None) -> None:
        nlp = initialised(keep="layers", cache=settings())
        expected = vectors(nlp)
        records = nlp.get_pipe("ctxemb").cache.store._records.items()
        wrong = [
            (key, (data + b"more", data[:-4] or b"1", b"x")[i % 3])
            for i, (key, data) in enumerate(records)
        ]
        other = initialised(keep="layers", cache=settings(place))
        other.get_pipe("ctxemb").cache.store.write(wrong)
        for hits in (0, 5):
            for a, b in zip(vectors(other), expected, strict=True):
                assert_allclose(a, b, atol=1e-5)
            assert count(other) == [hits, 5 - hits, 0]

    def test_equal_docs_in_a_batch(self) -> None:
        nlp = initialised(cache=settings())
        a, b = nlp.pipe([TEXTS[0]] * 2)
        a.tensor[:] = 0
        assert b.tensor.any()


class TestKeys:
    def test_tokens_matter(self) -> None:
        nlp = initialised(cache=settings())
        words = ["can", "not"], ["cannot"], ["can", "not"]
        docs = [Doc(nlp.vocab, w, spaces=[False] * len(w)) for w in words]
        shapes = [encode(nlp, doc).shape[0] for doc in docs]
        assert shapes == [2, 1, 2] and count(nlp) == [1, 2, 0]

    def test_spaces_matter(self) -> None:
        nlp = initialised(TRANSFORMER, cache=settings())
        plain = initialised(TRANSFORMER)
        for spaces in ([True, False], [False, False]):
            doc = Doc(nlp.vocab, ["in", "put"], spaces=spaces)
            expected = encode(plain, Doc(plain.vocab, ["in", "put"], spaces=spaces))
            assert_allclose(encode(nlp, doc), expected, atol=1e-5)
        assert count(nlp) == [0, 2, 0]

    def test_sentences_matter(self, model: dict[str, Any]) -> None:
        text = "A river bank. Money in the bank."
        nlp = initialised(model, cache=settings())
        plain = initialised(model)
        for starts in ([0], [0, 4], [0, 3]):
            doc, other = nlp.make_doc(text), plain.make_doc(text)
            for token in [*doc, *other]:
                token.is_sent_start = token.i in starts
            assert_allclose(encode(nlp, doc), encode(plain, other), atol=1e-5)
        assert count(nlp) == [0, 3, 0]

    def test_sentences_that_are_not_split_do_not(self) -> None:
        nlp = initialised({**BILM, "split_sentences": False}, cache=settings())
        for start in (1, 2, 3):
            doc = nlp.make_doc("A river bank. Money.")
            for token in doc:
                token.is_sent_start = token.i in (0, start)
            encode(nlp, doc)
        assert count(nlp) == [2, 1, 0]

    @pytest.mark.parametrize(
        "changed",
        [
            {"window": 12, "stride": 8},
            {"stride": 10},
            {"pooling": "first"},
            {"precision": "bf16"},
            {"precision": "int8"},
            {"split_sentences": False},
            {"width": 8},
            {"mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1}},
            {"mix": {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None}},
            {"encoder": {**TRANSFORMER["encoder"], "activation": "relu"}},
            {"encoder": {**TRANSFORMER["encoder"], "n_heads": 4}},
        ],
        ids=str,
    )
    def test_settings_matter(self, changed: dict[str, Any], tmp_path: Path) -> None:
        """Of encoders with equal weights and pieces, as far as they have the same."""
        cache = settings(tmp_path / "cache")
        nlp = initialised(TRANSFORMER, cache=cache)
        vectors(nlp)
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        other = initialised({**TRANSFORMER, **changed}, cache=cache)
        get_shim(other.get_pipe("ctxemb").model).embedder.encoder.load_state_dict(
            shim.embedder.encoder.state_dict()
        )
        vectors(other)
        assert count(other) == [0, 5, 0]
        vectors(initialised(TRANSFORMER, cache=cache))

    @pytest.mark.parametrize("name", ["skip_connections", "cell_clip", "max_characters"])
    def test_settings_of_a_bilm_matter(self, name: str, tmp_path: Path) -> None:
        values = {"skip_connections": False, "cell_clip": 1.0, "max_characters": 20}
        cache = settings(tmp_path / "cache")
        vectors(initialised(BILM, cache=cache))
        encoder = {**BILM["encoder"], name: values[name]}
        pieces = {**BILM["pieces"], "max_characters": encoder.get("max_characters", 50)}
        nlp = initialised({**BILM, "encoder": encoder, "pieces": pieces}, cache=cache)
        vectors(nlp)
        assert count(nlp) == [0, 5, 0]

    @pytest.mark.parametrize("name", ENCODERS)
    def test_other_encoders(self, name: str, tmp_path: Path) -> None:
        if name == "HuggingFace":
            pytest.importorskip("transformers")
        encoder = {"@architectures": f"spacy-ctxemb.{name}.v1", **ENCODERS[name]}
        nlp = initialised({**TRANSFORMER, "encoder": encoder}, cache=settings(tmp_path / "cache"))
        expected = vectors(nlp)
        nlp.to_disk(tmp_path / "pipeline")
        again = spacy.load(tmp_path / "pipeline")
        assert all(np.array_equal(a, b) for a, b in zip(vectors(again), expected, strict=True))
        assert count(again) == [5, 0, 0]

    def test_equal_pipelines_share_a_directory(self, model: dict[str, Any], tmp_path: Path) -> None:
        expected = vectors(initialised(model, cache=settings(tmp_path / "cache")))
        nlp = initialised(model, cache=settings(tmp_path / "cache"))
        assert all(np.array_equal(a, b) for a, b in zip(vectors(nlp), expected, strict=True))
        assert count(nlp) == [5, 0, 0]

    def test_pieces_matter(self, tmp_path: Path) -> None:
        nlp = initialised(TRANSFORMER, cache=settings())
        vectors(nlp)
        pieces = get_shim(nlp.get_pipe("ctxemb").model).pieces
        pieces.train([["another text about otters and a river"]])
        plain = initialised(TRANSFORMER)
        get_shim(plain.get_pipe("ctxemb").model).pieces = pieces
        for a, b in zip(vectors(nlp), vectors(plain), strict=True):
            assert_allclose(a, b, atol=1e-5)
        assert count(nlp) == [0, 10, 0]


def by_update(nlp: Language) -> None:
    """While it is trained it has no cache."""
    ctxemb = nlp.get_pipe("ctxemb")
    cache, ctxemb.cache = ctxemb.cache, None
    train(nlp)
    ctxemb.cache = cache


def train(nlp: Language) -> None:
    nlp.add_pipe("textcat", config=textcat_config(listener()))
    nlp.get_pipe("textcat").initialize(lambda: examples(nlp, TEXTCAT_DATA), nlp=nlp)
    for _ in range(3):  # weights on top begin with zero, and gradients come a step late
        nlp.update(examples(nlp, TEXTCAT_DATA), sgd=Adam(0.01))


def by_torch(nlp: Language) -> None:
    with torch.no_grad():
        next(get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder.parameters()).mul_(2)


def by_the_mix(nlp: Language) -> None:
    with torch.no_grad():
        get_shim(nlp.get_pipe("ctxemb").model).embedder.mix.gamma.mul_(2)


def by_bytes(nlp: Language) -> None:
    component = initialised(seed=1).get_pipe("ctxemb")
    nlp.get_pipe("ctxemb").from_bytes(component.to_bytes())


def by_initialisation(nlp: Language) -> None:
    nlp.initialize(lambda: examples(nlp, NER_DATA))


class TestWeights:
    @pytest.mark.parametrize(
        "change", [by_update, by_torch, by_the_mix, by_bytes, by_initialisation]
    )
    def test_changed_weights_miss(self, change: Callable[[Language], None]) -> None:
        nlp = initialised(cache=settings())
        before, old = vectors(nlp), parameters(nlp)
        change(nlp)
        assert any(not torch.equal(old[n], value) for n, value in parameters(nlp).items())
        count(nlp)
        after = [encode(nlp, nlp.make_doc(text)).copy() for text in TEXTS]
        assert count(nlp) == [0, 5, 0]
        assert not np.array_equal(before[0], after[0])
        nlp.get_pipe("ctxemb").cache = None
        for text, found in zip(TEXTS, after, strict=True):
            assert_allclose(found, encode(nlp, nlp.make_doc(text)), atol=1e-5)

    def test_averages_are_other_weights(self) -> None:
        nlp = initialised(cache=settings())
        before = vectors(nlp)[0]
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        name, gamma = next((n, p) for n, p in shim.named_parameters() if n == "mix.gamma")
        with nlp.use_params({(shim.id, name): gamma.data.numpy() * 2}):
            assert_allclose(vectors(nlp)[0], 2 * before, rtol=1e-5)
        assert np.array_equal(vectors(nlp)[0], before)
        assert count(nlp) == [5, 10, 0]

    def test_they_are_read_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nlp = initialised(cache=settings())
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        reads: list[object] = []
        build = shim.weights_digest.build

        def read(module: Any) -> bytes:
            reads.append(module)
            return build(module)

        monkeypatch.setattr(shim.weights_digest, "build", read)
        for _ in range(3):
            vectors(nlp)
            with nlp.use_params({}):  # as `spacy train` does for each evaluation
                vectors(nlp)
        assert len(reads) == 1

    def test_updates_do_not_use_it(self) -> None:
        plain, cached = initialised(), initialised(cache=settings())
        train(plain)
        with pytest.warns(UserWarning, match="W007"):
            train(cached)
        assert count(cached) == [0, 0, 0]
        for name, value in parameters(plain).items():
            assert torch.equal(value, parameters(cached)[name])


class TestComponent:
    @pytest.mark.parametrize("tok2vec", [listener(), LAYER_LISTENER], ids=["vectors", "layers"])
    def test_training_on_top_of_a_frozen_encoder(
        self, tok2vec: dict[str, Any], place: Path | None
    ) -> None:
        scores, weights = [], []
        for cache in (None, settings(place)):
            nlp = initialised(cache=cache)
            nlp.add_pipe("textcat", config=textcat_config(tok2vec))
            torch.manual_seed(0)
            np.random.seed(0)
            textcat = nlp.get_pipe("textcat")
            textcat.initialize(lambda nlp=nlp: examples(nlp, TEXTCAT_DATA), nlp=nlp)
            optimizer = Adam(0.01)
            for _ in range(30):
                frozen = {"exclude": ["ctxemb"], "annotates": ["ctxemb"]}
                nlp.update(examples(nlp, TEXTCAT_DATA), sgd=optimizer, **frozen)
            scores.append(nlp.evaluate(examples(nlp, TEXTCAT_DATA))["cats_score"])
            weights.append(textcat.model.to_bytes())
        assert count(nlp) == [30 * 4, 4, 0]
        assert scores[0] == scores[1]
        assert weights[0] == weights[1]

    def test_the_limit(self) -> None:
        nlp = initialised(cache=settings())
        nlp.get_pipe("ctxemb").cache.store.max_bytes = 16 * 4 * 9
        docs = [nlp.make_doc(text) for text in TEXTS]  # 9, 5, 0, 1 and 4 tokens
        assert [len(doc) for doc in docs[:4]] == [9, 5, 0, 1]
        for expected in ([0, 5, 3], [2, 3, 3]):
            nlp.get_pipe("ctxemb").predict(docs)
            assert count(nlp) == expected

    def test_another_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        nlp = initialised(cache=settings(Path("cache")))
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        vectors(nlp)
        vectors(pickle.loads(pickle.dumps(nlp)))
        assert list((tmp_path / "other").iterdir()) == []
        assert (tmp_path / "cache" / "index").is_file()

    def test_disk_and_pickle_and_copy(self, tmp_path: Path) -> None:
        nlp = initialised(cache=settings(tmp_path / "cache", dtype="float16", max_megabytes=7))
        expected = vectors(nlp)
        assert count(nlp) == [0, 5, 0]
        nlp.to_disk(tmp_path / "pipeline")
        section = nlp.config["components"]["ctxemb"]["cache"]
        assert section["path"] == str(tmp_path / "cache")
        names = {path.name for path in (tmp_path / "pipeline" / "ctxemb").rglob("*")}
        assert names == {"cfg", "model", "encoder.safetensors", "pieces"}
        assert str(tmp_path / "cache").encode() not in nlp.get_pipe("ctxemb").to_bytes()
        others = spacy.load(tmp_path / "pipeline"), pickle.loads(pickle.dumps(nlp))
        for other in others:
            cache = other.get_pipe("ctxemb").cache
            assert (cache.dtype, cache.max_megabytes) == ("float16", 7)
            for a, b in zip(vectors(other), expected, strict=True):
                assert_allclose(a, b, rtol=1e-3, atol=1e-6)
            assert count(other) == [5, 0, 0]

    def test_a_copy_in_memory_begins_empty(self) -> None:
        nlp = initialised(cache=settings())
        vectors(nlp)
        twin = copy.deepcopy(nlp.get_pipe("ctxemb").cache)
        assert twin.megabytes == 0 < nlp.get_pipe("ctxemb").cache.megabytes
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        assert make_encoder_key(copy.deepcopy(shim)) == make_encoder_key(shim)

    def test_settings_of_training_change_nothing(self, tmp_path: Path) -> None:
        vectors(initialised(cache=settings(tmp_path)))
        changed = {**BILM, "training_precision": "bf16", "checkpoint_gradients": True}
        nlp = initialised(changed, cache=settings(tmp_path))
        vectors(nlp)
        assert count(nlp) == [5, 0, 0]

    @pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
    def test_several_processes(self, method: str, tmp_path: Path) -> None:
        if method not in multiprocessing.get_all_start_methods():
            pytest.skip(f"this system cannot {method}")
        nlp = initialised(cache=settings(tmp_path / "cache"))
        expected = vectors(initialised())
        before = multiprocessing.get_start_method()
        multiprocessing.set_start_method(method, force=True)
        try:
            for _ in range(2):
                docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=2))
                for doc, reference in zip(docs, expected, strict=True):
                    assert_allclose(doc.tensor, reference, atol=1e-5)
        finally:
            multiprocessing.set_start_method(before, force=True)
        count(nlp)
        vectors(nlp)  # what workers have made
        assert count(nlp) == [5, 0, 0]

    def test_no_docs(self) -> None:
        assert initialised(cache=settings()).get_pipe("ctxemb").predict([]) == []

    def test_the_hooks_are_there(self) -> None:
        nlp = initialised(cache=settings())
        vectors(nlp)
        doc = nlp(TEXTS[0])
        assert_allclose(doc.vector, doc.tensor.mean(axis=0), rtol=1e-5, atol=1e-6)


class TestRefusals:
    @pytest.mark.parametrize(
        "model, others, reason",
        [
            (
                TRANSFORMER,
                {"boundaries": True},
                "it does not hold what boundaries = true asks",
            ),
            (TRANSFORMER, {"keep_attention": True}, "what keep_attention = true asks for."),
            (
                {**BILM, "mix": {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 3}},
                {"doc_pooling": "max"},
                "what doc_pooling = 'max' asks for; `import bert --no-pooling` sets none",
            ),
            (
                {**BILM, "encoder": {**BILM["encoder"], "stateful": True}},
                {},
                "vectors depend on what is encoded together",
            ),
        ],
        ids=["boundaries", "attention", "pooling", "stateful"],
    )
    def test_what_it_does_not_hold(
        self, model: dict[str, Any], others: dict[str, Any], reason: str
    ) -> None:
        with pytest.warns(UserWarning, match=rf"\[W005\] The cache of 'ctxemb' is .*{reason}"):
            nlp = initialised(model, cache=settings(), **others)
        vectors(nlp)
        assert count(nlp) == [0, 0, 0]

    def test_without_a_cache_nothing_is_counted(self) -> None:
        nlp = initialised()
        vectors(nlp)
        assert not any("cache" in name for name in nlp.get_pipe("ctxemb").counts)

    def test_an_unknown_dtype(self) -> None:
        message = r"\[E250\] There is no dtype 'bf16' .*\['float32', 'float16'\]"
        with pytest.raises(ValueError, match=message):
            initialised(cache=settings(dtype="bf16"))

    def test_no_room_at_all(self) -> None:
        with pytest.raises(ValueError, match=r"\[E251\] max_megabytes of FeatureCache is 0"):
            FeatureCache(None, dtype="float32", max_megabytes=0)

    def test_a_section_without_its_name(self) -> None:
        with pytest.raises(ValueError, match=r"\[E007\] The cache of 'ctxemb' is {'path': 'x'}"):
            initialised(cache={"path": "x"})

    def test_a_mix_that_cannot_be_told_from_others(self) -> None:
        nlp = initialised(cache=settings())
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        shim.embedder.mix.odd = iter("ab")
        with pytest.raises(ValueError, match=r"\[E253\] .*type builtins\.str_\w*iterator"):
            vectors(nlp)

    def test_no_weights(self) -> None:
        nlp = spacy.blank("en")
        nlp.add_pipe("ctxemb", config={"model": BILM, "cache": settings()})
        with warnings.catch_warnings(), pytest.raises(RuntimeError, match=r"\[E008\]"):
            nlp.get_pipe("ctxemb").predict([nlp.make_doc("a")])
