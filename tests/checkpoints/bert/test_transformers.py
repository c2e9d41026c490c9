"""What is written, loaded by transformers; and real models. Needs that package."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spacy_ctxemb.checkpoints.bert.checkpoint import Tokens, read_bert, write_bert
from spacy_ctxemb.checkpoints.bert.masked_lm_head import build_head
from spacy_ctxemb.checkpoints.load_any_huggingface import read_huggingface, write_huggingface
from spacy_ctxemb.encoders import Encoder
from spacy_ctxemb.encoders.huggingface_wrapper import HuggingFaceEncoder
from spacy_ctxemb.objectives import BiLMObjective, MaskedLMObjective
from spacy_ctxemb.objectives.masking import Masking

from ...bert_models import (
    FAMILIES,
    TEXTS,
    WRITTEN,
    change_json,
    change_tensors,
    copy_family,
    encode,
    find_minilm,
    find_tokens,
    load,
    read,
    read_expected,
)
from ...tiny import build_bilm, build_transformer, randomise

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SENTENCES = [
    "The bank of the river was steep, and nobody had been there for years.",
    "She deposited 1,250.75 € at the bank — naïvely, without asking for a receipt!",
    "東京 is far away.",
    "ok",
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """transformers warns of poolers that are not there, and of its own future."""
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def load_theirs(folder: Path, kind: str = "AutoModel") -> Any:
    return getattr(transformers, kind).from_pretrained(folder, local_files_only=True).eval()


def load_tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def run_theirs(model: Any, inputs: Any) -> list[np.ndarray[Any, Any]]:
    """All layers of each text. (L, T, D) each"""
    with torch.inference_mode():
        layers = torch.stack(model(**inputs, output_hidden_states=True).hidden_states)
    masks = inputs["attention_mask"].bool()
    return [layers[:, b, mask].numpy() for b, mask in enumerate(masks)]


@pytest.mark.parametrize("name", WRITTEN)
def test_transformers_loads_what_is_written(name: str, tmp_path: Path) -> None:
    model = read(name)
    write_bert(load(model), find_tokens(model), tmp_path / "out")
    ids, expected = read_expected(name)
    inputs = load_tokenizer(tmp_path / "out")(TEXTS[: len(ids)], padding=True, return_tensors="pt")
    found = run_theirs(load_theirs(tmp_path / "out"), inputs)
    masks = inputs["attention_mask"].bool()
    assert [row[mask].tolist() for row, mask in zip(inputs["input_ids"], masks, strict=True)] == ids
    for layers, values in zip(found, expected, strict=True):
        np.testing.assert_allclose(layers, values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_segments": 1, "layer_norm_epsilon": 1e-5},
        {"n_segments": 0},
        {"n_segments": 0, "layer_norm_epsilon": 1e-3},
        {"embedding_width": 4},
        {"embedding_width": 4, "n_segments": 0},
        {"n_groups": 1},
        {"n_groups": 2, "n_blocks": 4, "embedding_width": 4, "n_segments": 0},
        {"pre_norm": True},
        {"pre_norm": True, "n_segments": 0, "activation": "relu"},
        {"activation": "gelu_tanh"},
        {"activation": "relu"},
        {"activation": "silu"},
    ],
    ids=str,
)
def test_transformers_computes_what_our_encoder_does(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    encoder = build_transformer(vocab_size=260, max_length=90, **settings)
    write_bert(encoder, find_tokens(read("bert")), tmp_path / "out")
    inputs = load_tokenizer(tmp_path / "out")(TEXTS, padding=True, return_tensors="pt")
    found = run_theirs(load_theirs(tmp_path / "out"), inputs)
    masks = inputs["attention_mask"].bool()
    ids = [row[mask].tolist() for row, mask in zip(inputs["input_ids"], masks, strict=True)]
    for layers, values in zip(found, encode(encoder, ids), strict=True):
        np.testing.assert_allclose(layers, values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", [{"num_hidden_groups": 2}, {"hidden_act": "relu"}])
def test_settings_that_no_fixture_has(changes: dict[str, Any], tmp_path: Path) -> None:
    config = transformers.AlbertConfig(
        vocab_size=270,
        embedding_size=4,
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=12,
        **changes,
    )
    theirs = randomise(transformers.AlbertModel(config)).eval()
    copy_family("albert", tmp_path / "model")
    theirs.save_pretrained(tmp_path / "model")
    ids = [[2, 7, 9, 11, 3], [2, 3]]
    for found, window in zip(encode(load(read_bert(tmp_path / "model")), ids), ids, strict=True):
        inputs = {"input_ids": torch.tensor([window]), "attention_mask": torch.ones(1, len(window))}
        np.testing.assert_allclose(found, run_theirs(theirs, inputs)[0], rtol=1e-5, atol=1e-5)


def build_objective(encoder: Encoder, n_pieces: int) -> MaskedLMObjective:
    masking = Masking(4, [0, 1, 2, 3, 4], n_pieces, share=0.15)
    return randomise(MaskedLMObjective(encoder, masking), seed=1)


@pytest.mark.parametrize(
    "settings, architecture",
    [
        ({}, "BertForMaskedLM"),
        ({"n_segments": 1, "layer_norm_epsilon": 1e-3}, "BertForMaskedLM"),
        ({"n_segments": 0}, "BertForMaskedLM"),
        ({"pre_norm": True}, "RobertaPreLayerNormForMaskedLM"),
        ({"pre_norm": True, "activation": "relu"}, "RobertaPreLayerNormForMaskedLM"),
    ],
)
def test_scores_of_masked_language_modelling(
    settings: dict[str, Any], architecture: str, tmp_path: Path
) -> None:
    """The encoder's table has room for 40 pieces more."""
    encoder = build_transformer(vocab_size=300, max_length=90, **settings)
    objective = build_objective(encoder, 260)
    head = build_head(objective, encoder)
    write_bert(encoder, find_tokens(read("bert")), tmp_path / "out", head=head)
    model = load_theirs(tmp_path / "out", "AutoModelForMaskedLM")
    assert type(model).__name__ == architecture
    ids = torch.tensor([[2, 9, 4, 30, 7, 3]])
    with torch.inference_mode():
        h = objective.dense(encoder(ids, ids > 0)[-1])
        h = objective.norm(F.gelu(h))
        expected = F.linear(h, encoder.piece_embedding.weight[:260], objective.bias)
        found = model(input_ids=ids).logits[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_heads_that_bert_does_not_have(tmp_path: Path) -> None:
    encoder = build_transformer(vocab_size=260, activation="relu")
    with pytest.raises(
        ValueError, match=r"\[E349\] .*: there it has .*, relu; this head has gelu\."
    ):
        build_head(build_objective(encoder, 260), encoder)
    bilm = build_bilm()
    objective = BiLMObjective(bilm, ["<S>", "</S>", "<UNK>", "a"], n_samples=None)
    with pytest.raises(ValueError, match=r"\[E349\] .*: it is that of a BiLMObjective\."):
        build_head(objective, bilm)
    encoder = build_transformer(vocab_size=260, n_groups=1)
    head = build_head(build_objective(encoder, 260), encoder)
    with pytest.raises(ValueError, match=r"\[E348\] .*: as bert, n_groups is 1 where"):
        write_bert(encoder, find_tokens(read("bert")), tmp_path / "out", head=head)


def wrap(folder: Path) -> HuggingFaceEncoder:
    model = read_huggingface(folder)
    with torch.device("meta"):
        encoder = HuggingFaceEncoder(model.config)
    encoder.load_state_dict(model.tensors, assign=True)
    return encoder.eval()


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "bert_sharded"])
def test_a_wrapped_model_and_what_is_written_of_it(name: str, tmp_path: Path) -> None:
    ids, expected = read_expected(name)
    encoder = wrap(FAMILIES / name)
    for found, layers in zip(encode(encoder, ids), expected, strict=True):
        np.testing.assert_allclose(found, layers, rtol=1e-5, atol=1e-5)
    tokens = find_tokens(read(name))
    assert (
        write_huggingface(encoder, tokens, tmp_path / "out")
        == encoder.settings["config"]["model_type"]
    )
    for found, layers in zip(encode(wrap(tmp_path / "out"), ids), expected, strict=True):
        np.testing.assert_allclose(found, layers, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "electra"])
def test_a_wrapped_model_tells_two_texts_apart(name: str, tmp_path: Path) -> None:
    folder = FAMILIES / name
    tokens = Tokens(read_huggingface(folder).tokenizer, find_tokens(read(name)).boundaries)
    write_huggingface(wrap(folder), tokens, tmp_path / "out")
    expected = load_tokenizer(folder)("a text", "another")
    found = load_tokenizer(tmp_path / "out")("a text", "another")
    assert dict(found) == dict(expected)
    assert ("token_type_ids" in found) == (name in ("bert", "electra"))


def test_the_size_of_a_vocabulary_that_the_config_leaves_out(tmp_path: Path) -> None:
    """transformers has a default."""
    folder = copy_family("bert", tmp_path / "model")
    change_json(folder / "config.json", vocab_size=...)
    n = transformers.BertConfig().vocab_size
    widen_table(folder, n)
    assert wrap(folder).n_ids == n


def test_a_wrapped_model_without_a_vocabulary(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    change_json(folder / "config.json", vocab_size=..., model_type="vit")
    with pytest.raises(ValueError, match=r"\[E113\] .*model_type vit: its config has no vocab"):
        read_huggingface(folder)


def widen_table(folder: Path, n_ids: int) -> None:
    """Give a BERT a table of more pieces."""
    name = "embeddings.word_embeddings.weight"

    def widen(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        table = tensors[name]
        return tensors | {name: F.pad(table, (0, 0, 0, n_ids - len(table)))}

    change_tensors(folder, widen)


def test_a_wrapped_model_lacks_tensors(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")

    def remove(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v for k, v in tensors.items() if "layer.1.output" not in k and "pool" not in k}

    change_tensors(folder, remove)
    names = r"encoder\.layer\.1\.output\.LayerNorm\.bias, .*"
    with pytest.raises(
        ValueError, match=rf"\[E335\] .*model lacks the tensors {names} \(4 missing"
    ):
        read_huggingface(folder)


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_layers_of_a_published_model(is_wrapped: bool) -> None:
    folder = find_minilm()
    inputs = load_tokenizer(folder)(SENTENCES, padding=True, return_tensors="pt")
    expected = run_theirs(load_theirs(folder), inputs)
    encoder = wrap(folder) if is_wrapped else load(read_bert(folder))
    ids = [
        row[mask.bool()].tolist()
        for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]
    for found, layers in zip(encode(encoder, ids), expected, strict=True):
        assert len(found) == 7
        np.testing.assert_allclose(found, layers, rtol=1e-4, atol=1e-4)


def test_a_published_model_is_written_as_it_was(tmp_path: Path) -> None:
    folder = find_minilm()
    model = read_bert(folder)
    assert model.sentences.doc_pooling == "mean" and model.sentences.normalize
    write_bert(load(model), find_tokens(model), tmp_path / "out")
    before, after = load_theirs(folder).state_dict(), load_theirs(tmp_path / "out").state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert "pooler" in name or torch.equal(value, after[name]), name
    ours, theirs = load_tokenizer(tmp_path / "out"), load_tokenizer(folder)
    assert ours(SENTENCES).input_ids == theirs(SENTENCES).input_ids


def test_tokens_say_what_begins_and_ends_a_text() -> None:
    assert isinstance(find_tokens(read("roberta")), Tokens)
    assert find_tokens(read("roberta")).boundaries == (0, 2)
