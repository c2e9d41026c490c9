"""Vectors of documents and sentences, and attention weights, through a spaCy pipeline."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb import attach
from spacy_ctxemb.thinc_model.docs_to_outputs import group_docs, predict_long
from spacy_ctxemb.thinc_model.embedder_shim import EmbedderShim, get_shim
from spacy_ctxemb.windows.pieces_to_windows import Windowing, lay_windows

from ..pipelines import BILM, TEXTS, TRANSFORMER, initialised

TOP = {**TRANSFORMER, "mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1}}
POOLINGS = {
    "mean": lambda rows: rows.mean(axis=0),
    "max": lambda rows: rows.max(axis=0),
    "cls": lambda rows: rows[0],
}


def encode(nlp: Language, text: str) -> np.ndarray:
    """The last layer of a short text with its boundaries, straight from the encoder. (T, D)"""
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    tokenizer, (begin, end) = shim.pieces.tokenizer, shim.pieces.boundaries
    ids = [int(begin), *tokenizer.encode(text, add_special_tokens=False).ids, int(end)]
    with torch.inference_mode():
        return shim.embedder.encoder(torch.tensor([ids]), torch.ones(1, len(ids)).bool())[
            -1
        ].numpy()


def build(model: dict[str, Any] = TOP, **settings: Any) -> Language:
    torch.manual_seed(0)
    return initialised(model, **settings)


class TestDocPooling:
    @pytest.mark.parametrize("how", POOLINGS)
    def test_doc_vectors_pool_pieces_and_boundaries(self, how: str) -> None:
        nlp = build(doc_pooling=how)
        for doc in nlp.pipe(TEXTS):
            expected = POOLINGS[how](encode(nlp, doc.text))
            assert_allclose(doc.vector, expected, rtol=1e-5, atol=1e-5)

    def test_without_it_tokens_count(self) -> None:
        doc = build()(TEXTS[0])
        assert doc._.ctxemb_pooled is None
        assert_allclose(doc.vector, doc.tensor.mean(axis=0), rtol=1e-5, atol=1e-6)

    def test_normalised_vectors_have_length_1(self) -> None:
        plain, normal = build(doc_pooling="mean"), build(doc_pooling="mean", normalize=True)
        for a, b in zip(plain.pipe(TEXTS), normal.pipe(TEXTS), strict=True):
            assert b.vector_norm == pytest.approx(1.0, abs=1e-6)
            assert_allclose(b.vector, a.vector / np.linalg.norm(a.vector), rtol=1e-5, atol=1e-6)
            assert_allclose(b.tensor, a.tensor, rtol=1e-5, atol=1e-6)

    def test_similarity_is_that_of_the_vectors(self) -> None:
        nlp = build(doc_pooling="mean", normalize=True)
        a, b = nlp.pipe(TEXTS[:2])
        assert a.similarity(b) == pytest.approx(float(a.vector @ b.vector), abs=1e-6)

    def test_sentences_that_are_encoded_by_themselves_have_vectors(self) -> None:
        nlp = build(doc_pooling="mean")
        nlp.add_pipe("sentencizer", before="ctxemb")
        doc = nlp("A river bank. Money in the bank. Otters.")
        sentences = list(doc.sents)
        assert len(sentences) == 3
        for sentence in sentences:
            expected = encode(nlp, sentence.text).mean(axis=0)
            assert_allclose(sentence.vector, expected, rtol=1e-5, atol=1e-5)
        rows = np.concatenate([encode(nlp, sentence.text) for sentence in sentences])
        assert_allclose(doc.vector, rows.mean(axis=0), rtol=1e-5, atol=1e-5)
        part = doc[1:3]
        assert_allclose(part.vector, doc.tensor[1:3].mean(axis=0), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("how", POOLINGS)
    def test_all_of_a_long_document_counts(self, how: str) -> None:
        nlp = build({**TOP, "window": 6, "stride": 4}, doc_pooling=how)
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        text = "a river b c d e f g h i j bank money k"
        ids = shim.pieces.tokenizer.encode(text, add_special_tokens=False).ids
        begin, end = (int(i) for i in shim.pieces.boundaries)
        n = len(ids)
        starts, size = lay_windows(n, shim.windowing)
        pieces: dict[int, np.ndarray] = {}
        ends = []
        for i, start in enumerate(starts):
            window = torch.tensor([[begin, *ids[start : start + size], end]])
            with torch.inference_mode():
                rows = shim.embedder.encoder(window, torch.ones(1, size + 2).bool())[-1].numpy()
            ends.append(rows[[0, -1]])
            middle = 0 if i == 0 else (start + starts[i - 1] + size) // 2 - start
            pieces |= {start + t: rows[1 + t] for t in range(middle, size)}
        if how == "cls":
            expected = np.mean([rows[0] for rows in ends], axis=0)
        else:
            expected = POOLINGS[how](np.concatenate([np.stack(list(pieces.values())), *ends]))
        assert len(pieces) == n > 12
        assert_allclose(nlp(text).vector, expected, rtol=1e-5, atol=1e-5)

    def test_a_document_does_not_depend_on_others(self) -> None:
        nlp = build(doc_pooling="mean")
        together = [doc.vector for doc in nlp.pipe(TEXTS)]
        for text, vector in zip(TEXTS, together, strict=True):
            assert_allclose(nlp(text).vector, vector, rtol=1e-5, atol=1e-5)

    def test_vectors_survive_bytes(self) -> None:
        nlp = build(doc_pooling="mean")
        doc = nlp(TEXTS[0])
        with pytest.warns(UserWarning, match="W109"):
            data = doc.to_bytes()
        again = attach(Doc(nlp.vocab).from_bytes(data))
        assert_allclose(again.vector, doc.vector)

    def test_layers_and_pooling_go_together(self) -> None:
        plain, both = build(doc_pooling="max"), build(doc_pooling="max", keep="layers")
        a, b = plain(TEXTS[0]), both(TEXTS[0])
        assert_allclose(a.vector, b.vector, rtol=1e-5, atol=1e-6)
        assert_allclose(b.tensor, a.tensor, rtol=1e-5, atol=1e-6)
        assert b._.ctxemb.shape == (3, len(b), 16)

    def test_normalize_alone_is_refused(self) -> None:
        message = r"\[E004\] normalize of 'ctxemb' is for the vectors that doc_pooling makes"
        with pytest.raises(ValueError, match=message):
            build(normalize=True)

    def test_an_unknown_name_is_refused(self) -> None:
        message = r"\[E003\] There is no doc_pooling 'sum'. Use one of \['mean', 'cls', 'max'\]"
        with pytest.raises(ValueError, match=message):
            build(doc_pooling="sum")

    @pytest.mark.parametrize("mix, how", [("ScalarMix", "cls"), ("TokenMix", "mean")])
    def test_what_a_mix_leaves_out_is_refused(self, mix: str, how: str) -> None:
        settings = {"@architectures": f"spacy-ctxemb.{mix}.v1", "layer_norm": "document"}
        message = rf"\[E005\] doc_pooling = '{how}' of 'ctxemb' needs what the mix leaves out"
        with pytest.raises(ValueError, match=message):
            build({**TOP, "mix": settings}, doc_pooling=how)

    @pytest.mark.parametrize("how", ["mean", "max"])
    def test_a_mix_without_boundaries_pools_pieces_alone(self, how: str) -> None:
        """As the default model has it. Each word is a piece of its own there."""
        mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "document"}
        nlp = initialised({**BILM, "mix": mix}, doc_pooling=how)
        doc, empty, space = nlp.pipe([TEXTS[0], "", " "])
        expected = doc.tensor.mean(axis=0) if how == "mean" else doc.tensor.max(axis=0)
        assert_allclose(doc.vector, expected, rtol=1e-5, atol=1e-6)
        assert not empty.vector.any() and not space.vector.any()
        alone = nlp(TEXTS[0]).vector
        assert_allclose(alone, expected, rtol=1e-5, atol=1e-6)


class TestAttention:
    def test_weights_are_those_of_a_plain_computation(self) -> None:
        nlp = build(keep_attention=True)
        doc = nlp(TEXTS[0])
        (window,) = doc._.ctxemb_attention
        found = window["weights"]
        assert window["start"] == 0
        shim = get_shim(nlp.get_pipe("ctxemb").model)
        encoder = shim.embedder.encoder
        begin, end = (int(i) for i in shim.pieces.boundaries)
        pieces = shim.pieces.tokenizer.encode(doc.text, add_special_tokens=False).ids
        T = len(pieces) + 2
        assert found.shape == (2, 2, T, T)
        with torch.inference_mode():
            layers = encoder(torch.tensor([[begin, *pieces, end]]), torch.ones(1, T).bool())
            for i, block in enumerate(encoder.blocks):
                linear = block.attention.query_key_value
                q, k, _ = (layers[i] @ linear.weight.T + linear.bias).split(16, dim=1)
                for h in range(2):
                    a, b = (x[:, 8 * h : 8 * h + 8] for x in (q, k))
                    expected = torch.softmax(a @ b.T / 8**0.5, dim=-1)
                    assert_allclose(found[i, h], expected, rtol=1e-4, atol=1e-6)

    def test_each_window_has_its_own(self) -> None:
        nlp = build({**TOP, "window": 6, "stride": 4}, keep_attention=True)
        short, long = nlp.pipe(["a", "a river b c d e f g h i j"])
        assert [x["weights"].shape[-1] for x in short._.ctxemb_attention] == [3]
        windows = long._.ctxemb_attention
        n = nlp.get_pipe("ctxemb").counts["pieces"] - 1
        starts, size = lay_windows(n, Windowing(6, 4, 100, 1.0))
        assert [window["start"] for window in windows] == starts and len(starts) > 2
        for window in windows:
            assert window["weights"].shape == (2, 2, size + 2, size + 2)
            assert_allclose(window["weights"].sum(axis=-1), 1.0, rtol=1e-5)

    def test_counts_are_those_of_one_run(self) -> None:
        nlp = build(keep_attention=True)
        nlp(TEXTS[0])
        assert nlp.get_pipe("ctxemb").counts["documents"] == 1

    def test_a_bilm_has_none(self) -> None:
        message = r"\[E006\] keep_attention of 'ctxemb' needs an encoder with attention, and BiLM"
        with pytest.raises(ValueError, match=message):
            build(BILM, keep_attention=True)


class TestAnotherRun:
    def test_nothing_of_an_earlier_run_stays(self) -> None:
        nlp = build(doc_pooling="mean", keep="layers", keep_pieces=True, keep_attention=True)
        doc = nlp(TEXTS[0])
        names = ("ctxemb", "ctxemb_pooled", "ctxemb_pieces", "ctxemb_attention")
        assert all(doc._.get(name) is not None for name in names)
        component = nlp.get_pipe("ctxemb")
        component.doc_pooling, component.keep = None, "tensor"
        component.keep_pieces = component.keep_attention = False
        component(doc)
        assert all(doc._.get(name) is None for name in names)
        assert_allclose(doc.vector, doc.tensor.mean(axis=0), rtol=1e-5, atol=1e-6)

    def test_sentences_of_a_retokenised_doc_keep_their_vectors(self) -> None:
        nlp = build(doc_pooling="mean")
        nlp.add_pipe("sentencizer", before="ctxemb")
        doc = nlp("New York is big. It never sleeps.")
        whole, sentences = doc.vector, [sentence.vector for sentence in doc.sents]
        with doc.retokenize() as retokenizer:
            retokenizer.merge(doc[0:2])
        for sentence, expected in zip(doc.sents, sentences, strict=True):
            assert_allclose(sentence.vector, expected)
        assert_allclose(doc.vector, whole)

    def test_keep_none_pools_nothing(self) -> None:
        assert build(doc_pooling="mean", keep="none")(TEXTS[0])._.ctxemb_pooled is None


def test_long_tokens_count_as_several() -> None:
    nlp = build()
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    docs = [nlp.make_doc(text) for text in ("a b c", "x" * 90, "x" * 600, "", "a b")]
    found = [[len(doc) for doc in group] for group in group_docs(shim, docs, 20)]
    assert found == [[3, 1], [1], [0, 2]]


def test_a_doc_of_long_tokens_goes_in_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = build()
    words = ["x" * 60] * 4
    whole = nlp(Doc(nlp.vocab, words))
    cut: list[int] = []

    def predict(shim: EmbedderShim, doc: Doc, *others: Any) -> Any:
        cut.append(len(doc))
        return predict_long(shim, doc, *others)

    monkeypatch.setattr("spacy_ctxemb.thinc_model.docs_to_outputs.GROUP_TOKENS", 20)
    monkeypatch.setattr("spacy_ctxemb.thinc_model.docs_to_outputs.predict_long", predict)
    assert_allclose(nlp(Doc(nlp.vocab, words)).tensor, whole.tensor, rtol=0, atol=1e-5)
    assert cut == [4]
