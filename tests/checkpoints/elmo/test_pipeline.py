"""ELMo inside a pipeline: its outputs, its state, its options."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from numpy.testing import assert_allclose
from spacy.language import Language
from spacy.tokens import Doc

import spacy_ctxemb
from spacy_ctxemb.checkpoints.elmo.checkpoint import read_elmo
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ...encoders.bilm_loop import Options, Weights, run_sentence
from ...encoders.published_weights import (
    build_encoder,
    draw_weights,
    find_fixture,
    read_hdf5,
    set_weights,
)
from ...pipelines import BILM, TEXTS, TRANSFORMER, initialised

OPTIONS = Options(max_characters=50, filters=((1, 3), (4, 4)), cell_clip=0.4)


def build(options: Options = OPTIONS, *, mix: dict[str, Any] | None = None, **config: Any):
    """A pipeline with random weights, which the NumPy loop can read as well."""
    encoder = {
        "@architectures": "spacy-ctxemb.BiLM.v1",
        "width": 2 * options.width,
        "hidden_width": options.hidden_width,
        "filters": [list(pair) for pair in options.filters],
        "character_width": options.character_width,
        "cell_clip": options.cell_clip,
    } | config.pop("encoder", {})
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None} | (mix or {})
    model = {**BILM, "encoder": encoder, "mix": mix, **config.pop("model", {})}
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"model": model, "keep": "layers", **config})
    nlp.initialize()
    load(nlp, draw_weights(options))
    return nlp


def load(nlp: Language, weights: Weights) -> None:
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    set_weights(shim.embedder.encoder, weights)
    shim.weights_changed()


def run_loop(words: list[str], options: Options = OPTIONS) -> np.ndarray:
    """All layers with their boundaries, (L, T, D), from the NumPy loop."""
    ids = CharacterPieces(options.max_characters).encode_sequence(words)
    return np.array(run_sentence(ids, draw_weights(options), options))


def make_doc(nlp: Language, *sentences: list[str]) -> Doc:
    words = [word for sentence in sentences for word in sentence]
    starts = [i == 0 for sentence in sentences for i in range(len(sentence))]
    return Doc(nlp.vocab, words, sent_starts=starts)


A, B = ["The", "bank", "of", "the", "river", "."], ["日本", "🦦" * 20, "otters"]


def apply(nlp: Language, *docs: Doc) -> list[Doc]:
    return list(nlp.get_pipe("ctxemb").pipe(docs, batch_size=100))


class TestOutputs:
    def test_layers_and_their_mean_equal_a_plain_loop(self) -> None:
        nlp = build()
        (doc,) = apply(nlp, make_doc(nlp, A, B))
        expected = np.concatenate([run_loop(A)[:, 1:-1], run_loop(B)[:, 1:-1]], axis=1)
        assert_allclose(doc._.ctxemb, expected, rtol=1e-5, atol=1e-5)
        assert_allclose(doc.tensor, expected.mean(axis=0), rtol=1e-5, atol=1e-5)

    def test_names_of_tf_hub(self) -> None:
        nlp = build()
        (doc,) = apply(nlp, make_doc(nlp, A))
        outputs = spacy_ctxemb.elmo_outputs(doc)
        layers = run_loop(A)[:, 1:-1]
        assert list(outputs) == ["word_emb", "lstm_outputs1", "lstm_outputs2", "elmo", "default"]
        assert outputs["word_emb"].shape == (6, 5)
        assert_allclose(outputs["word_emb"], layers[0, :, :5], rtol=1e-5, atol=1e-5)
        assert_allclose(outputs["lstm_outputs1"], layers[1], rtol=1e-5, atol=1e-5)
        assert_allclose(outputs["lstm_outputs2"], layers[2], rtol=1e-5, atol=1e-5)
        assert_allclose(outputs["elmo"], layers.mean(axis=0), rtol=1e-5, atol=1e-5)
        assert_allclose(outputs["default"], layers.mean(axis=(0, 1)), rtol=1e-5, atol=1e-5)

    def test_names_of_an_empty_doc(self) -> None:
        nlp = build()
        (doc,) = apply(nlp, nlp.make_doc(""))
        outputs = spacy_ctxemb.elmo_outputs(doc)
        assert {name: output.shape for name, output in outputs.items()} == {
            "word_emb": (0, 5),
            "lstm_outputs1": (0, 10),
            "lstm_outputs2": (0, 10),
            "elmo": (0, 10),
            "default": (10,),
        }

    def test_a_doc_without_layers(self) -> None:
        nlp = build(keep="tensor")
        with pytest.raises(ValueError, match=r"\[E062\] This Doc of 2 tokens has no layers. Set"):
            spacy_ctxemb.elmo_outputs(nlp("no layers"))

    def test_a_doc_that_has_lost_its_tensor(self) -> None:
        doc = build()("two words")
        doc.tensor = np.zeros((0,), dtype="float32")
        with pytest.raises(ValueError, match=r"\[E060\] This Doc of 2 tokens .* no contextual"):
            spacy_ctxemb.elmo_outputs(doc)

    def test_layers_of_another_encoder(self) -> None:
        nlp = initialised(TRANSFORMER, keep="layers")
        with pytest.raises(ValueError, match=r"\[E063\] .* not those of a biLM"):
            spacy_ctxemb.elmo_outputs(nlp("not ELMo"))

    def test_layer_norm_of_the_whole_batch(self) -> None:
        """AllenNLP's rule: one mean and deviation a layer, boundaries included."""
        nlp = build(mix={"layer_norm": "batch"})
        docs = apply(nlp, make_doc(nlp, A), make_doc(nlp, B, A[:2]))
        sentences = [run_loop(A), run_loop(B), run_loop(A[:2])]
        steps = np.concatenate(sentences, axis=1)  # (L, T of all, D)
        mean = steps.mean(axis=(1, 2), keepdims=True)
        deviation = np.sqrt(steps.var(axis=(1, 2), keepdims=True) + 1e-13)
        expected = [((s - mean) / deviation).mean(axis=0)[1:-1] for s in sentences]
        assert_allclose(docs[0].tensor, expected[0], rtol=1e-4, atol=1e-5)
        assert_allclose(docs[1].tensor, np.concatenate(expected[1:]), rtol=1e-4, atol=1e-5)
        (alone,) = apply(nlp, make_doc(nlp, A))
        assert not np.allclose(alone.tensor, docs[0].tensor, atol=1e-3)

    def test_empty_docs_count_in_the_norm_of_the_batch_with_and_without_boundaries(self) -> None:
        tensors = []
        for boundaries in (False, True):
            nlp = build(mix={"layer_norm": "batch"}, boundaries=boundaries)
            docs = apply(nlp, make_doc(nlp, A), nlp.make_doc(""), Doc(nlp.vocab, ["\n"]))
            tensors.append(docs[0].tensor)
        assert_allclose(*tensors, rtol=1e-5, atol=1e-6)
        steps = np.concatenate([run_loop(words) for words in (A, [], [])], axis=1)
        mean = steps.mean(axis=(1, 2), keepdims=True)
        deviation = np.sqrt(steps.var(axis=(1, 2), keepdims=True) + 1e-13)
        expected = ((run_loop(A) - mean) / deviation).mean(axis=0)[1:-1]
        assert_allclose(tensors[0], expected, rtol=1e-4, atol=1e-5)

    def test_layer_norm_of_the_whole_batch_in_training(self) -> None:
        nlp = build(mix={"layer_norm": "batch"})
        docs = [make_doc(nlp, A), make_doc(nlp, B), nlp.make_doc("")]
        model = nlp.get_pipe("ctxemb").model
        for found, expected in zip(model.begin_update(docs)[0], model.predict(docs), strict=True):
            assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class TestBoundaries:
    def test_they_are_the_first_and_last_step_of_each_sentence(self) -> None:
        nlp = build(boundaries=True)
        docs = apply(nlp, make_doc(nlp, A, B), make_doc(nlp, B))
        expected = [run_loop(words)[:, [0, -1]] for words in (A, B)]
        assert docs[0]._.ctxemb_boundaries.shape == (3, 2, 2, 10)
        for found, sentences in zip(docs, ([0, 1], [1]), strict=True):
            wanted = np.stack([expected[i] for i in sentences], axis=1)
            assert_allclose(found._.ctxemb_boundaries, wanted, rtol=1e-5, atol=1e-5)

    def test_an_empty_doc_and_one_of_white_space_have_them(self) -> None:
        nlp = build(boundaries=True)
        docs = apply(nlp, nlp.make_doc(""), make_doc(nlp, A), Doc(nlp.vocab, ["\n\n"]))
        expected = run_loop([])[:, [0, -1]]
        for doc in (docs[0], docs[2]):
            assert_allclose(doc._.ctxemb_boundaries[:, 0], expected, rtol=1e-5, atol=1e-5)
        assert not docs[2].tensor.any()

    def test_a_sentence_of_several_windows_has_its_own_ends(self) -> None:
        nlp = build(boundaries=True, model={"window": 4, "stride": 2})
        (doc,) = apply(nlp, make_doc(nlp, A + B))
        assert doc._.ctxemb_boundaries.shape == (3, 1, 2, 10)
        words = A + B
        found = doc._.ctxemb_boundaries[:, 0]
        assert_allclose(found[:, 0], run_loop(words[:4])[:, 0], rtol=1e-5, atol=1e-5)
        assert_allclose(found[:, 1], run_loop(words[-4:])[:, -1], rtol=1e-5, atol=1e-5)

    def test_without_layers(self) -> None:
        nlp = build(boundaries=True, keep="tensor")
        (doc,) = apply(nlp, make_doc(nlp, A))
        assert doc._.ctxemb is None
        assert doc._.ctxemb_boundaries.shape == (3, 1, 2, 10)

    def test_not_unless_asked_for(self) -> None:
        assert build()("A text.")._.ctxemb_boundaries is None


class TestState:
    @pytest.mark.parametrize("fixture", [".", "bilm_tf"])
    def test_documents_of_a_call_carry_their_state_as_published(
        self, fixture: str, tmp_path: Path
    ) -> None:
        folder = find_fixture(fixture)
        model = read_elmo(folder / "options.json", folder / "lm_weights.hdf5")
        nlp = spacy.blank("en")
        encoder = {"@architectures": "spacy-ctxemb.BiLM.v1", **model.settings, "stateful": True}
        ctxemb = nlp.add_pipe(
            "ctxemb", config={"keep": "layers", "model": {**BILM, "encoder": encoder}}
        )
        get_shim(ctxemb.model).load_encoder(model.tensors)
        name = "sentences.json" if fixture == "." else "lm_embeddings_sentences.json"
        streams = json.loads((folder / name).read_text(encoding="utf8"))
        expected = [read_hdf5(folder / f"lm_embeddings_{k}.hdf5") for k in range(3)]
        for _ in range(2):
            for i in range(10):
                docs = [Doc(nlp.vocab, stream[i].split()) for stream in streams]
                for k, doc in enumerate(apply(nlp, *docs)):
                    wanted = np.concatenate(list(expected[k][str(i)]), axis=1)
                    assert_allclose(doc._.ctxemb[-1], wanted, rtol=1e-5, atol=1e-5)
            ctxemb.reset_state()

    def test_an_empty_doc_has_its_place_and_moves_its_state(self) -> None:
        nlp, other = build(encoder={"stateful": True}), build(encoder={"stateful": True})
        apply(nlp, nlp.make_doc(""), make_doc(nlp, A))
        apply(other, make_doc(other, B), make_doc(other, A))
        after, after_other = (apply(n, make_doc(n, B), make_doc(n, B)) for n in (nlp, other))
        assert_allclose(after[1].tensor, after_other[1].tensor, rtol=1e-5, atol=1e-5)
        assert not np.allclose(after[0].tensor, apply(build(), make_doc(nlp, B))[0].tensor)

    def test_a_call_is_not_split(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("spacy_ctxemb.thinc_model.docs_to_outputs.GROUP_TOKENS", 4)
        nlp = build(encoder={"stateful": True})
        first = apply(nlp, make_doc(nlp, A), make_doc(nlp, B))
        fresh = apply(build(), make_doc(nlp, A), make_doc(nlp, B))
        for a, b in zip(first, fresh, strict=True):
            assert_allclose(a.tensor, b.tensor, rtol=1e-5, atol=1e-5)

    def test_a_long_sentence_is_read_whole(self) -> None:
        """As in the references; were it cut, the sentences after it would change their places."""
        nlp = build(encoder={"stateful": True}, model={"window": 2, "stride": 1})
        long, after = apply(nlp, make_doc(nlp, A + B), make_doc(nlp, A))
        assert_allclose(long._.ctxemb, run_loop(A + B)[:, 1:-1], rtol=1e-5, atol=1e-5)
        (expected, _) = apply(build(), make_doc(nlp, A), make_doc(nlp, A))
        assert_allclose(after.tensor, expected.tensor, rtol=1e-5, atol=1e-5)
        assert get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder._carried.h.size(2) == 2

    def test_other_weights_begin_anew(self) -> None:
        used, fresh = build(encoder={"stateful": True}), build(encoder={"stateful": True})
        data = fresh.to_bytes()
        apply(used, make_doc(used, A))
        used.from_bytes(data)
        a, b = (apply(nlp, make_doc(nlp, B))[0].tensor for nlp in (used, fresh))
        assert_allclose(a, b, rtol=1e-5, atol=1e-5)
        with pytest.warns(UserWarning, match="W003"):
            used.initialize()
        assert get_shim(used.get_pipe("ctxemb").model).embedder.encoder._carried is None

    def test_fresh_by_default(self) -> None:
        nlp = build()
        first, second = (apply(nlp, make_doc(nlp, A))[0].tensor for _ in range(2))
        assert_allclose(first, second, rtol=1e-5, atol=1e-6)

    def test_a_warm_start_from_a_text(self) -> None:
        text = "A neutral sentence .\n\nAnd another one .\n"
        warm, carrying = build(encoder={"warm_start": text}), build(encoder={"stateful": True})
        for line in text.split("\n"):
            if line:
                apply(carrying, make_doc(carrying, line.split()))
        (expected,) = apply(carrying, make_doc(carrying, A))
        for doc in apply(warm, make_doc(warm, A), make_doc(warm, A)):
            assert_allclose(doc.tensor, expected.tensor, rtol=1e-5, atol=1e-5)

    def test_a_warm_start_is_saved_with_the_pipeline(self, tmp_path: Path) -> None:
        nlp = build(encoder={"warm_start": "A neutral sentence ."})
        nlp.to_disk(tmp_path)
        expected, found = nlp("A text."), spacy.load(tmp_path)("A text.")
        assert_allclose(found.tensor, expected.tensor, rtol=1e-6, atol=1e-6)
        assert not np.allclose(build()("A text.").tensor, expected.tensor)


class TestTokensToAdd:
    PIECES = {
        "@architectures": "spacy-ctxemb.CharacterPieces.v1",
        "tokens_to_add": [["<num>", 7], ["</S>", 9]],
    }

    def test_such_a_token_is_one_character(self) -> None:
        pieces = CharacterPieces(6, tokens_to_add={"<num>": 7, "</S>": 9})
        rows = pieces.encode_words(["<num>", "</S>", "<S>"]).tolist()
        assert rows == [
            [259, 8, 260, 261, 261, 261],
            [259, 10, 260, 261, 261, 261],
            [259, 257, 260, 261, 261, 261],
        ]

    @pytest.mark.parametrize("i", [-1, 256])
    def test_ids_are_raw_ones(self, i: int) -> None:
        message = rf"\[E121\] The token '<num>' .* character id {i}. Choose one from 0 to 255"
        with pytest.raises(ValueError, match=message):
            CharacterPieces(6, tokens_to_add={"<num>": i})

    def test_in_a_config_saved_and_changed(self, tmp_path: Path) -> None:
        nlp = build(model={"pieces": self.PIECES})
        doc = Doc(nlp.vocab, ["<num>", "\x07"])
        first, second = apply(nlp, doc)[0]._.ctxemb[0]
        assert_allclose(first, second, rtol=1e-5, atol=1e-6)
        nlp.to_disk(tmp_path)
        again = spacy.load(tmp_path)
        assert_allclose(apply(again, doc)[0]._.ctxemb[0][0], first, rtol=1e-5, atol=1e-6)
        changes = {"components": {"ctxemb": {"model": {"pieces": {"tokens_to_add": None}}}}}
        plain = spacy.load(tmp_path, config=changes)
        assert not np.allclose(apply(plain, doc)[0]._.ctxemb[0][0], first)

    @pytest.mark.parametrize(
        "word", ["[NUM]", "#num", " lead", "a=b", "x:y", "@num", "%", '"', "U.S.", "日本"]
    )
    def test_any_word_is_kept(self, word: str, tmp_path: Path) -> None:
        pieces = {**self.PIECES, "tokens_to_add": [[word, 7]]}
        build(model={"pieces": pieces}).to_disk(tmp_path)
        again = get_shim(spacy.load(tmp_path).get_pipe("ctxemb").model)
        assert again.pieces.tokens_to_add == {word: 7}

    @pytest.mark.parametrize("word", ["$USD", "${a}"])
    def test_a_word_that_configs_would_change(self, word: str) -> None:
        pieces = {**self.PIECES, "tokens_to_add": [[word, 7]]}
        with pytest.raises(ValueError, match=r"\[E122\] The token '\$.*' .* has a `\$`"):
            build(model={"pieces": pieces})


class TestPrecision:
    def test_bf16_is_near_fp32(self) -> None:
        exact, rounded = build(), build(model={"precision": "bf16"})
        a, b = (apply(nlp, make_doc(nlp, A, B))[0].tensor for nlp in (exact, rounded))
        assert b.dtype == np.float32
        assert 1e-5 < np.abs(a - b).max() < 0.05

    def test_an_encoder_without_it(self) -> None:
        message = r"\[E108\] BiLM has no precision 'medium'. Use one of \['fp32', 'bf16'\]"
        with pytest.raises(ValueError, match=message):
            build(model={"precision": "medium"})


class TestWindows:
    def test_a_bilm_reads_512_tokens_at_a_time(self) -> None:
        nlp = build()
        apply(nlp, Doc(nlp.vocab, ["word"] * 512), Doc(nlp.vocab, ["word"] * 513))
        assert nlp.get_pipe("ctxemb").counts["windows"] == 1 + 2

    def test_a_transformer_reads_what_fits(self) -> None:
        model = {name: value for name, value in TRANSFORMER.items() if "stri" not in name}
        nlp = initialised({**model, "window": None})
        windowing = get_shim(nlp.get_pipe("ctxemb").model).windowing
        assert (windowing.window, windowing.stride) == (30, 30 - 30 // 4)


class TestWhatIsDerivedFromWeights:
    """A word cache, packed weights and a warm start follow the weights."""

    MODEL = {**BILM, "encoder": {**BILM["encoder"], "warm_start": "some words"}}

    def vectors(self, nlp: Language) -> np.ndarray:
        return np.concatenate([nlp(text).tensor for text in TEXTS])

    def assert_fresh(self, nlp: Language) -> None:
        found = self.vectors(nlp)
        get_shim(nlp.get_pipe("ctxemb").model).weights_changed()
        assert_allclose(found, self.vectors(nlp), rtol=1e-5, atol=1e-5)

    def test_training_and_averages(self) -> None:
        nlp = initialised(self.MODEL)
        model = nlp.get_pipe("ctxemb").model
        optimizer = nlp.create_optimizer()
        optimizer.averages = {}
        docs = [nlp.make_doc(text) for text in TEXTS]
        before = self.vectors(nlp)
        for _ in range(3):
            vectors, backprop = model.begin_update(docs)
            self.vectors(nlp)  # as annotating components do, before the weights change
            backprop([np.ones_like(v) for v in vectors])
            model.finish_update(optimizer)
            self.assert_fresh(nlp)
            with model.use_params(optimizer.averages):
                self.assert_fresh(nlp)
            self.assert_fresh(nlp)
        assert not np.allclose(before, self.vectors(nlp))

    def test_loading(self) -> None:
        nlp, other = initialised(self.MODEL), initialised(self.MODEL)
        self.vectors(nlp)
        with torch.no_grad():
            for parameter in get_shim(other.get_pipe("ctxemb").model).embedder.parameters():
                parameter.mul_(1.2)
        nlp.from_bytes(other.to_bytes())
        assert_allclose(self.vectors(nlp), self.vectors(other), rtol=1e-5, atol=1e-5)


def test_an_encoder_outside_spacy_gives_the_same_layers() -> None:
    encoder = set_weights(build_encoder(OPTIONS), draw_weights(OPTIONS))
    nlp = build()
    (doc,) = apply(nlp, make_doc(nlp, A))
    ids = torch.from_numpy(CharacterPieces(50).encode_sequence(A))[None]
    with torch.inference_mode():
        layers = torch.stack(encoder(ids, torch.ones(1, len(A) + 2, dtype=torch.bool)))
    assert_allclose(doc._.ctxemb, layers[:, 1:-1], rtol=1e-5, atol=1e-6)
